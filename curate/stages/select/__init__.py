"""Selection: duplicates, benchmark split and balanced training split; pure functions of tables."""

from curate.stages.select.balance import Balance, FrequencyBins, balance, share_out, shortage
from curate.stages.select.duplicates import Clusters, find_clusters
from curate.stages.select.pins import Pins, read_pins
from curate.stages.select.selection import Selection, needed_columns, select
from curate.stages.select.shopping_list import shopping_csv
from curate.stages.select.tile_choice import choose_tiles
