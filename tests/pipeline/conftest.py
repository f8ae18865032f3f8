import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from small_crawl import labeller, pictures, recipe, site

__all__ = ["labeller", "pictures", "recipe", "site"]
