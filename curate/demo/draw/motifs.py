"""Motifs: everything that stands, swims or lies in scenes, in the language of `parts`.

A motif stands on the origin and is about 1 high, or lies around the origin with a radius of 1; x
runs to the right, y down. A surface covers the area that `placement` gives it.
"""

from __future__ import annotations

__all__ = ["MOTIFS"]

MOTIFS = """
# animals
horse: trunk 0 0 1; coat stroke .4 -.66 .56 -.85 .68 -1.06 : .34 .22 .15;
  coat-- stroke .36 -.8 .5 -.96 .63 -1.13 : .05 .12 .05; coat leaf .66 -1.08 .18 .07 -1.3;
  coat curve .6 -1.1 .7 -1.12 .9 -.98 .93 -.9 .84 -.86 .66 -.96; black oval .73 -1.04 .018
cow: trunk 0 0 1; white blob -.36~.3 -.66~-.58 .05~.14 .1 : .5 | times 4;
  coat stroke .4 -.66 .66 -.8 : .4 .24; coat curve .56 -.9 .76 -.92 .92 -.72 .88 -.62 .72 -.68;
  coat- oval .87 -.68 .07 .06; wheat stroke .6 -.9 .62 -1.02 .74 -1.04 : .04 .01;
  coat- leaf .6 -.86 .16 .08; black oval .73 -.82 .018
trunk: shadow oval 0 0 .6 .04; coat-- stroke -.3 -.55 -.28 -.3 -.34~-.22 -.02 : .16 .08 .05;
  coat-- stroke .3 -.55 .31 -.3 .24~.38 -.02 : .15 .08 .05;
  coat stroke -.4 -.56 -.42 -.3 -.46~-.36 0 : .2 .08 .055;
  coat stroke .38 -.56 .37 -.3 .3~.46 0 : .18 .08 .055;
  coat-- stroke -.48 -.7 -.6 -.6 -.6 -.25 : .05 .1 .02;
  coat curve -.52 -.7 -.2 -.78 .2 -.75 .48 -.82 .54 -.6 .3 -.44 -.1 -.48 -.45 -.44
cat: coat curve -.55 0 -.5 -.3 -.2 -.5 .2 -.5 .5 -.3 .55 0; coat blob 0 -.66 .4 .34 : .03;
  coat poly -.38 -.72 -.34 -1.1 -.08 -.92 | both; #d69a8c poly -.31 -.84 -.3 -1.02 -.16 -.9 | both;
  coat++ blob -.09 -.52 .12 .1 : .05 | both; eye oval -.17 -.7 .085 .075 | both;
  black oval -.17 -.7 .03 .065 | both; #c06a62 poly -.05 -.59 .05 -.59 0 -.53;
  black stroke 0 -.53 -.05 -.46 -.12 -.48 : .015 | both;
  white bar -.1 -.54 -.46 -.6~-.46 : .008 | row 3 0 .03 | both
fish: hue2 poly -.6 0 -1.05 -.32 -.92 0 -1.05 .32; hue2 curve -.3 -.25 0 -.55 .3 -.4 .25 -.2;
  hue curve .75 0 .45 -.26 0 -.36 -.4 -.2 -.72 0 -.4 .2 0 .34 .45 .22;
  light stroke -.25 -.24 -.15 0 -.25 .24 : .03 .09 .03 | row 3 .26 0 | maybe .5;
  hue-- oval 0 0 .05 | strew 14 .22 | maybe .5; white oval .52 -.06 .07; black oval .54 -.06 .04
butterfly: wing 0 0 1 | both; #2a2228 stroke 0 -.35 .12 -.65 .22 -.72 : .015 | both;
  #2a2228 oval 0 0 .05 .4
wing: #2a2228 curve .02 -.05 .3 -.6 .95 -.85 .95 -.3 .4 .1;
  #2a2228 curve .02 0 .5 .1 .75 .45 .5 .8 .15 .5; hue curve .12 -.14 .36 -.52 .84 -.72 .84 -.32 .42
  0; hue2 curve .1 .1 .46 .18 .62 .45 .44 .68 .18 .46; light oval .8 -.64 .035 | row 4 .02 .1;
  hue3 oval .46 -.34 .1; hue3 oval .42 .42 .09
# people
person: shadow oval .03 0 .16 .02; cloth2 stroke -.02 -.48 -.05 -.25 -.12~-.03 -.02 : .1 .08 .055;
  cloth2 stroke .02 -.48 .05 -.25 .03~.12 -.02 : .1 .08 .055; black oval -.06 -.01 .05 .02 | both;
  cloth-- stroke -.03 -.78 -.1 -.63 -.12~-.04 -.48 : .07 .05;
  cloth curve -.1 -.8 .08 -.8 .09 -.62 .08 -.44 -.09 -.44 -.09 -.62;
  cloth2 curve -.08 -.52 .07 -.52 .15 -.22 0 -.2 -.15 -.22 | maybe .35;
  cloth- stroke .02 -.78 .08 -.62 .08~.18 -.48 : .07 .05; skin- bar 0 -.86 0 -.78 : .05;
  hair curve -.08 -.92 0 -1 .07 -.94 0 -.9 -.04 -.74 -.1 -.76 | maybe .5;
  skin oval .005 -.905 .06 .072; hair curve .055 -.95 .02 -1 -.05 -.985 -.072 -.9 -.04 -.9 -.02 -.95
portrait: hair curve -.34 -.2 -.32 -.7 -.16 -1.02 .16 -1.02 .32 -.7 .34 -.2 | maybe .5;
  cloth curve -.12 -.3 .12 -.3 .44 -.2 .56 .3 -.56 .3 -.44 -.2; skin- bar 0 -.5 0 -.2 : .19 .22;
  cloth+ curve -.16 -.3 0 -.2 .16 -.3 .2 -.24 0 -.08 -.2 -.24; skin- oval -.25 -.64 .04 .07 | both;
  skin curve -.25 -.76 0 -1 .25 -.76 .22 -.5 0 -.32 -.22 -.5;
  white oval -.1 -.67 .05 .03~.04 | both; eye- oval -.1 -.67 .026 | both;
  black oval -.1 -.67 .013 | both; hair- stroke -.16 -.73 -.1 -.76 -.05 -.76~-.73 : .012 .02 .012 |
  both; skin-- stroke .01 -.66 .03 -.56 -.02 -.55 : .012;
  #b4505a curve -.08 -.47 0 -.48 .08 -.47 0 -.45~-.4; black hoop -.1 -.66 .07 : .015 | both | maybe
  .1; hair curve -.27 -.62 -.28 -.84 -.1 -1.06 .14 -1.04 .28 -.84 .26 -.62 .2 -.8 .04 -.86 -.18 -.8;
  cloth2 curve -.4 -.86 -.2 -.9 -.17 -1.12 .17 -1.12 .2 -.9 .4 -.86 0 -.82 | maybe .3
# plants and weather
fir: bark bar 0 -.3 0 0 : .06; leaf-~ poly -.26 -.14 0 -.5 .26 -.14 .12 -.17 0 -.12 -.12 -.17;
  leaf~ poly -.22 -.36 0 -.72 .22 -.36 .1 -.39 0 -.34 -.1 -.39;
  leaf~ poly -.16 -.58 0 -.88 .16 -.58 .08 -.6 0 -.56 -.08 -.6; leaf+~ poly -.1 -.78 0 -1.03 .1 -.78
oak: bark stroke 0 0 .01 -.3 0 -.7 : .1 .06 .02; bark stroke 0 -.3 .12 -.5 : .04 .02 | both;
  leaf-~ blob -.3~.3 -.8~-.4 .12 : .4 | times 14; leaf~ blob -.28~.24 -.9~-.5 .1 : .4 | times 14;
  leaf+~ blob -.26~.1 -.96~-.7 .07 : .4 | times 10
flower: leaf stroke 0 -.75 .03 -.4 0 .2 : .03; leaf~ leaf 0 -.2 .3 .1 -.9~-.5;
  leaf~ leaf 0 -.1 .3 .1 -2.6~-2.2; blossom 0 -.8 .2
blossom: hue~ leaf 0 0 1 .45 | ring 9; #d4a032 oval 0 0 .28
plant: shadow oval .05 0 .3 .03; leaf-~ leaf 0 -.4 .4~.65 .15 -2.9~-.2 | times 12;
  leaf~ leaf 0 -.38 .4~.6 .16 -2.8~-.3 | times 12; brick poly -.22 -.4 .22 -.4 .16 0 -.16 0;
  brick+ box -.25 -.44 .25 -.36
weed: leaf stroke 0 0 .04 -.25 -.04 -.5 .03 -.75 -.02 -1 : .03 .05 .01
cloud: light+ blob -.35~.35 -.05~.05 .12~.26 .07 : .2 | times 6
sun: #ffecbe glow 0 0 6; #fff2d6 oval 0 0 1
spark: hue+ stroke 0 0 .6 -.12 .9 0 1 .1 : .002 .012 .004 | ring 36; hue+ glow 0 0 1.2
# vehicles
wheel: #222228 oval 0 0 1; metal oval 0 0 .62; #5a5a60 bar 0 0 .55 0 : .1 | ring 5
car: shadow oval 0 0 .55 .03; tin curve -.5 -.08 -.48 -.23 -.27 -.25 -.2 -.36 .14 -.36 .27 -.25 .48
  -.21 .5 -.08; glass+ poly -.21 -.25 -.16 -.34 -.02 -.35 -.02 -.25;
  glass poly .01 -.25 .01 -.35 .12 -.34 .21 -.25; tin-- box -.5 -.12 .5 -.105;
  #fff0be oval .46 -.17 .025; #c42c28 oval -.48 -.18 .02; wheel -.3 -.07 .085; wheel .3 -.07 .085
bus: shadow oval 0 0 .55 .03; tin box -.5 -.48 .5 -.07 .05; light box -.5 -.22 .5 -.17;
  glass box -.47 -.43 -.34 -.26 .01 | row 6 .157 0; wheel -.3 -.07 .08; wheel .3 -.07 .08
boat: light- leaf -.3~0 .1~.3 .3~.5 .015 | times 4; wood bar .02 -.1 .02 -1 : .025;
  light curve .05 -.98 .26 -.5 .5 -.16 .05 -.16; cloth poly -.01 -.92 -.03 -.14 -.45 -.14;
  wood2 curve -.56 -.14 -.3 -.11 .3 -.11 .6 -.15 .42 .04 0 .06 -.4 .04
balloon: hue turned .06 .42 .3 .18 .42 -.1 .3 -.4 0 -.5;
  light turned .05 .42 .2 .18 .28 -.1 .2 -.4 0 -.5; hue2 turned .03 .42 .1 .18 .13 -.1 .1 -.4 0 -.5;
  wood bar -.05 .42 -.05 .6 : .008 | both; wood box -.07 .58 .07 .7 .02
bicycle: hub -.52 -.38 .38; hub .52 -.38 .38; tin bar -.24 -.92 -.08 -.36 : .035;
  tin bar .3 -1 .52 -.38 : .035; tin bar -.52 -.38 -.08 -.36 .34 -.82 -.2 -.78 -.52 -.38 : .035;
  black bar .2 -1 .34 -1.03 .44 -.95 : .04; black curve -.38 -.95 -.1 -.92 -.2 -.87 -.32 -.88
hub: metal bar 0 0 .95 0 : .02 | ring 16; #222228 hoop 0 0 1 : .1
# buildings
house: wall box -.36 -.72 .36 0; brick box .16 -1 .26 -.7;
  roof poly -.4 -.7 -.06~0 -1.06 .06~.1 -1.06 .4 -.7; window -.24 -.44 .17 | row 3 .24 0;
  window -.24 -.1 .17 | row 2 .48 0; wood2 box -.06 -.26 .07 0
window: light box -.42 -1.06 .42 .06; glass- box -.33 -.97 .33 -.03; light bar 0 -1 0 0 : .07;
  light bar -.34 -.5 .34 -.5 : .05
block: wall box -.3 -1 .3 .1; dark box -.25 -.95 -.17 -.86 | row 4 .14 0 | row 7 0 .13;
  #ffe296 box -.25 -.95 -.17 -.86 | row 4 .14 0 | row 7 0 .13 | maybe .3
temple: stone- box -.84 -.05 .84 .05; stone box -.8 -.1 .8 -.05; stone--- box -.7 -.62 .7 -.1;
  pillar -.63 -.1 .5 | row 6 .252 0; stone box -.76 -.7 .76 -.6; stone poly -.82 -.7 0 -1 .82 -.7;
  stone-- poly -.6 -.73 0 -.94 .6 -.73
pillar: stone+ box -.1 -1 .1 0; stone-- bar -.05 -.96 -.05 -.03 : .015 | row 3 .055 0;
  stone+ box -.14 -1.03 .14 -.96; stone+ box -.14 -.04 .14 .02
bay: light box -.6 -1.02 .6 -.96; shadow box -.3 -.8 .36 -.06; window 0 -.1 .7;
  hue box -.46 -.84 -.31 -.06 | both | maybe .4; dark bar -.4 -.3 -.4 0 : .02 | row 9 .1 0 | maybe
  .4
# furniture
chair: shadow oval 0 0 .36 .03; wood-- bar .12 -.45 .14 -.06 : .04;
  wood-- bar -.1 -.45 -.08 -.06 : .04; wood stroke -.3 0 -.25 -.45 -.33 -1 : .035 .055 .035;
  wood stroke -.06 -.42 -.02 -.6 -.09 -.97 : .04; wood bar -.31 -.94 -.08 -.92 : .05~.09 | row 3
  .012 .13; wood bar .28 -.45 .3 0 : .05; cloth curve -.3 -.44 -.28 -.46 -.05 -.53 .33 -.52 .34 -.48
  .31 -.42; wood box -.3 -.44 .31 -.39
sofa: shadow oval 0 0 .7 .03; wood bar -.55 -.1 -.56 0 : .05 | both; cloth box -.64 -.74 .64 -.1 .1;
  cloth+ box -.5 -.7 -.01 -.34 .06 | row 2 .5 0; cloth- box -.5 -.38 -.01 -.2 .05 | row 2 .5 0;
  cloth box -.74 -.5 -.54 -.08 .08 | both; wool2 box -.42~.1 -.56 -.14~.3 -.3 .06 | maybe .7
table: shadow oval 0 0 .7 .03; wood-- bar -.5 -.6 -.48 -.08 : .06 | both;
  wood bar -.62 -.6 -.64 0 : .07 | both; wood- box -.66 -.64 .66 -.54;
  wood poly -.6 -.74 .6 -.74 .74 -.66 .74 -.62 -.74 -.62 -.74 -.66; vase -.3~.3 -.68 .3 | maybe .7;
  mug -.3~.3 -.66 .16 | maybe .5
bed: shadow oval 0 0 .9 .03; wood box -.9 -.95 -.78 0 .04; wood box -.8 -.24 .84 -.06;
  light box -.78 -.44 .8 -.15 .07; light+ box -.74 -.6 -.4 -.4 .08;
  wool curve -.42 -.46 .2 -.52 .78 -.47 .83 -.2 .6 -.1 .1 -.13 -.36 -.1;
  any~ box -.34 -.42 -.26 -.34 | row 8 .13 0 | row 2 0 .12; wood box .8 -.6 .9 0 .04
chest: shadow oval 0 0 .5 .03; wood-- bar -.36 -.08 -.36 0 : .06 | both; wood box -.42 -.8 .42 -.06;
  wood+ box -.45 -.84 .45 -.78; wood-- box -.385 -.755 .385 -.565 | row 3 0 .23;
  wood+ box -.37 -.74 .37 -.58 | row 3 0 .23; wheat oval -.2 -.66 .022 | row 3 0 .23 | both
bookcase: shadow oval 0 0 .5 .03; wood box -.42 -1 .42 0; wood--- box -.38 -.97 .38 -.04;
  any~ box -.37 -.25~-.17 -.335 -.06 | row 20 .0365 0 | row 4 0 -.232;
  wood box -.38 -.06 .38 -.035 | row 4 0 -.232
lamp: dark oval 0 -.02 .14 .03; dark bar 0 -.02 0 -.8 : .022; #ffe4a0 glow 0 -.75 .6;
  hue+ poly -.12 -1 .12 -1 .22 -.7 -.22 -.7
# objects
vase: shadow oval .05 0 .3 .03; bark stroke 0 -.9 -.1~.1 -1.3 -.4~.4 -1.5 : .015 | times 4 | maybe
  .5; glaze turned .16 0 .2~.36 -.3 .2~.38 -.6 .1~.18 -.85 .12~.2 -1;
  glaze2 box -.2 -.62 .2 -.56 .02; glaze2 oval 0 -.45 .03 | row 4 0 .08;
  glaze+++ stroke -.14 -.62 -.16 -.5 -.14 -.36 : .01 .04 .01
mug: shadow oval .05 0 .4 .04; glaze- hoop .3 -.45 .22 : .09;
  glaze poly -.36 -.9 .36 -.9 .32 0 -.32 0; glaze2 oval -.22 -.6~-.3 .045 | row 6 .09 0;
  glaze2 box -.33 -.2 .33 -.15 | maybe .6; glaze++ oval 0 -.9 .36 .07; #46281c oval 0 -.89 .31 .05
bottle: shadow oval .05 0 .22 .03; glaze- turned .17 0 .18 -.1 .17 -.65~-.55 .06 -.8 .055 -1;
  wheat box -.065 -1.06 .065 -.97; light box -.17 -.45 .17 -.14; dark label 0 -.33 .09;
  dark bar -.1 -.22 .1 -.22 : .008 | row 2 0 .03; glaze+++ stroke -.1 -.6 -.11 -.5 : .03
clock: shadow oval 0 0 .45 .04; wood bar -.25 -.15 -.32 0 : .07 | both; wood oval 0 -.5 .5;
  dial 0 -.5 .43
dial: light oval 0 0 1; dark bar 0 -.92 0 -.8 : .04 | ring 12; dark bar 0 0 -.4~.4 -.4~.4 : .08;
  dark bar 0 0 -.5~.5 -.75 : .05; #be3228 bar 0 .1 .6~.7 -.3~.3 : .02
guitar: shadow oval 0 0 .3 .03; wood-- turned 0 0 .22 -.05 .27 -.2 .19 -.34 .21 -.46 .1 -.55 0 -.56;
  wood+ turned 0 -.02 .2 -.07 .245 -.2 .17 -.34 .19 -.45 .1 -.53 0 -.54; black oval 0 -.36 .08;
  wood-- box -.03 -1.1 .03 -.4; wood-- box -.08 -.16 .08 -.12;
  light bar -.015 -1.05 -.02 -.13 : .004 | row 4 .011 0;
  wheat oval -.06 -1.08 .016 .012 | row 3 0 .03 | both
# food
pizza: shadow oval .02 .05 1; crumb- blob 0 0 1 : .03; crumb blob 0 0 .93 : .03;
  #b03422 blob 0 0 .87 : .05; #f0cc78 blob 0 0 .83 : .1;
  #f4d68c~ blob 0 0 .03~.09 : .5 | strew 30 .78; #ce7a3a~ blob 0 0 .02~.07 : .5 | strew 20 .78;
  #ac3228~ blob 0 0 .12 : .06 | strew 12 .7; #28242c hoop 0 0 .04 : .025 | strew 10 .75 | maybe .6;
  leaf~ leaf 0 0 .16 .09 | strew 8 .7 | maybe .7
oranges: plate 0 0 1; slice 0 0 .25~.32 | strew 9 .55
apples: plate 0 0 1; apple 0 0 .2~.27 | strew 12 .5
plate: shadow oval .02 .05 1; light oval 0 0 1; hue hoop 0 0 .95 : .03; light+ oval 0 0 .72
slice: shadow oval 0 .06 1; #e88a2a~ oval 0 0 1; #fbe8c0 oval 0 0 .88;
  #f0a040 poly 0 0 .8 -.18 .84 0 .8 .18 | ring 9
apple: shadow oval 0 .1 1; #b4342c~ blob 0 0 1 : .06; #e8b070 blob -.2 -.25 .5 .4 : .3;
  #ffe8dc oval -.4 -.45 .16 .12; bark stroke 0 -.1 .1 -.4 .25 -.6 : .08;
  leaf leaf .2 -.5 .7 .3 | maybe .4
cake: shadow oval 0 0 .62 .04; light oval 0 -.02 .66 .05; crumb box -.5 -.42 .5 -.03 .03;
  hue+ box -.52 -.5 .52 -.34 .06; hue+ oval -.46 -.34 .06 .07~.12 | row 9 .115 0;
  hue2 box -.5 -.2 .5 -.15; crumb box -.3 -.76 .3 -.48 .03; hue+ box -.32 -.8 .32 -.68 .05;
  #c8283c blob -.26 -.84 .05 : .1 | row 5 .13 0; light bar -.2 -1 -.2 -.8 : .02 | row 5 .1 0;
  #ffb43c leaf -.2 -.99 .07 .04 -1.57 | row 5 .1 0
burger: shadow oval 0 0 .55 .04; crumb box -.5 -.22 .5 -.02 .09; #5c3420 box -.52 -.4 .52 -.22 .07;
  #f4b83c poly -.54 -.42 .54 -.42 .3 -.34 .1 -.4 -.2 -.3 -.4 -.4;
  #c83a2c box -.48 -.48 .48 -.42 .03; leaf+ stroke -.56 -.5 -.3 -.46 0 -.52 .3 -.46 .56 -.5 : .07;
  crumb- turned .54 -.52 .5 -.74 .28 -.9 0 -.94; #f8ecc8 leaf -.3~.3 -.86~-.7 .05 .03 -.5~.5 | times
  14
sushi: shadow oval .05 .1 1; #20242a blob 0 0 1 : .04; #f8f6ee blob 0 0 .84 : .06;
  #ffffff~ blob 0 0 .1 : .3 | strew 22 .6; #ea8a5c~ blob 0 0 .38 : .3;
  leaf+ blob .2 .1 .2 : .3 | maybe .6
# prints
speech: white poly .1 .1 .35 .1 .45 .6; white box -.75 -.35 .75 .2 .2; black shout 0 -.08 .32 1.35
rays: hue+ poly 0 0 3 -.2 3 .2 | ring 16
burst: black star 0 0 1.06 .72 13; hue2 star 0 0 1 .66 13; light star 0 0 .8 .54 13;
  black sound .03 .03 .8 1.25; hue3 sound 0 0 .8 1.25
rings: any box -1 -1 1 1; any2 oval 0 0 .9; any3 oval 0 0 .6; any4 oval 0 0 .3
quarter: any box -1 -1 1 1; any2 oval -1 -1 2 2 0 .25; any3 oval -1 -1 1 1 0 .25
stripes: any box -1 -1 1 1; any2 box -1 -1 -.8 1 | row 5 .4 0
spikes: any box -1 -1 1 1; any2 star 0 0 .9 .4 8; any3 oval 0 0 .2
wedge: any box -1 -1 1 1; any2 poly -1 -1 1 -1 -1 1
tile: any box -.98 -.98 .98 .98; any2 oval .98 .98 .5 .5 .5 .75 | ring 4; any3 star 0 0 .9 .4 8;
  any4 oval .4 0 .3 .12 | ring 8; any5 oval 0 0 .18
board: shadow box -.9 -.4 .9 .4 .08; hue- box -.9 -.4 .9 .4 .08; light box -.85 -.35 .85 .35 .05;
  hue- box -.82 -.32 .82 .32 .04; light+ sign 0 0 .6 1.5
dialog: shadow box -1 -.7 1 .7; #eeeeec box -1 -.7 1 .7; hue box -1 -.7 1 -.56;
  white title 0 -.63 .1; white box -.6 -.5 .95 .48; black~ item -.55 -.42 .09 | row 8 0 .11 | maybe
  .9; gray box -.94 -.45 -.86 -.37 | row 6 0 .15; black~ sign -.75 -.41 .07 | row 6 0 .15;
  light- box .3 .54 .6 .65 .03 | row 2 .35 0; black~ sign .45 .6 .07 | row 2 .35 0
receipt: shadow box -.3 -1 .3 0; white box -.3 -1 .3 0; black place 0 -.93 .07 .5;
  black~ item -.26 -.84 .045 .52 | row 13 0 .05; black box -.26 -.12 -.25~-.24 -.04 | row 24 .021 0
isle: #b8b494 blob 0 0 1.06 .8 : .3; #e8dcb0 blob 0 0 .95 .7 : .3; fir -.5~.5 -.2~.3 .25 | times 5;
  #5a4630 bar -.12 .1 0 -.1 .12 .1 : .025 | strew 4 .4; #4a3020~ place 0 .25 .17
tram: hue bar 0 0 .6 0 1 -.4 : .03; black oval 0 0 .024 | row 7 .1 0;
  white oval 0 0 .014 | row 7 .1 0; black~ place 0 -.06 .04 | row 3 .3 0
compass: light oval 0 0 1; black star 0 0 .95 .2 4; hue star 0 0 .5 .15 4
# surfaces
sky: sky box 0 0 9 2.6; sun .2~2 .2~.8 .05~.12 | maybe .5;
  cloud 0~3 .1~.9 .2~.6 | times 4 | maybe .5
night: night box 0 0 3 2.6; #8a80b0 glow 0~2 0~1 .2~.5 | times 12;
  white oval 0~2 0~1 .001~.003 | times 300
meadow: grass box 0 0 5 1; grass-~ leaf 0~4 0~.5 .03~.06 .012 -1.9~-1.2 | times 120;
  grass~ leaf 0~4 .4~1.1 .06~.16 .018 -1.9~-1.2 | times 160
sea: sea box 0 0 5 1; sea++ leaf 0~4 0~.4 .05~.2 .008 | times 60;
  sea++ leaf 0~4 .3~1 .1~.5 .02 | times 60; rock~ blob 0~4 .7~1 .05~.2 .08 : .3 | times 3 | maybe .4
road: road box 0 0 5 1; stone box 0 0 5 .06; light+ poly .02 .5 .3 .5 .28 .54 0 .54 | row 9 .6 0
paving: stone box -20 0 20 60; stone-- bar -20 .3 20 .3 : .02 | row 16 0 .4;
  stone-- bar -4 0 -4 60 : .015 | row 24 .35 0
planks: wood box -20 0 20 60; wood-- bar -20 .3 20 .3 : .008 | row 5 0 .6;
  wood-- bar -3 0 -3 60 : .01 | row 30 .2 0
chequers: light box -20 0 20 60; dark box -3 0 -2.7 .5 | row 10 .6 0 | row 10 0 1;
  dark box -2.7 .5 -2.4 1 | row 10 .6 0 | row 10 0 1
rug: wool oval 0 .45 .7 .4; wool2 oval 0 .45 .55 .3; wool3 oval 0 .45 .4 .2
doors: wall box 0 -1 60 .5; light box .25 -.22 1 .5 | row 7 1.4 0;
  wood box .3 -.2 .95 .5 | row 7 1.4 0
dots: wall+ box 0 0 5 1; wall oval .06 .1 .02 | row 30 .14 0 | row 7 0 .14; light box 0 .94 5 1
papered: wall+ box 0 0 5 1; wall box .05 0 .11 1 | row 30 .14 0; light box 0 .94 5 1
plain: wall box 0 0 5 1; light box 0 .94 5 1
tiles: light- box 0 0 5 1; wall+~ box .01 .01 .13 .13 | row 32 .14 0 | row 7 0 .14
desk: wood box 0 0 5 1
linen: cloth box 0 0 5 1
slab: stone box 0 0 2 1
checked: cloth box 0 0 2 1; cloth++ box 0 0 .1 .1 | row 8 .2 0 | row 5 0 .2;
  cloth++ box .1 .1 .2 .2 | row 8 .2 0 | row 5 0 .2
tartan: cloth box 0 0 2 1; cloth2 box .04 0 .1 1 | row 8 .25 0; cloth2 box 0 .04 2 .1 | row 4 0 .25;
  cloth2- box .04 .04 .1 .1 | row 8 .25 0 | row 4 0 .25; cloth3 box .17 0 .18 1 | row 8 .25 0;
  cloth3 box 0 .17 2 .18 | row 4 0 .25
knitting: wool box 0 0 2 1; wool2 box 0 .1 .04 .14 | row 20 .08 0 | row 4 0 .25;
  wool3 box .04 .14 .08 .18 | row 20 .08 0 | row 4 0 .25;
  wool2 box 0 .18 .04 .22 | row 20 .08 0 | row 4 0 .25
parquet: wood--- box 0 0 2 1; wood~ box -.3 0 .29 .095 | row 4 .6 0 | row 5 0 .2;
  wood~ box 0 .1 .59 .195 | row 3 .6 0 | row 5 0 .2
bricks: stone+ box 0 0 4 1; brick~ box -.1 0 .04 .052 | row 26 .15 0 | row 9 0 .12;
  brick~ box -.02 .06 .12 .112 | row 25 .15 0 | row 9 0 .12
mist: mist box 0 0 2 1; mist++ glow 0~1.5 0~1 .1~.3 | times 12
deep: deep box 0 0 2 1; weed 0~1.5 1.05 .2~.6 | times 14;
  deep++ hoop 0~1.5 0~1 .006~.015 : .003 | times 20
light: light box 0 0 6 1; rays .3~1 .3~.7 1.5 | maybe .7
paper: light box 0 0 2 1
halftone: hue++ box 0 0 6 1; hue oval 0 0 .012~.018 | row 60 .05 0 | row 20 0 .05
page: light box 0 0 1 1
caption: light box 0 .82 1 1; dark title .5 .89 .11 .9; dark column .06 .945 .94 .99 .016
letter: hue letter .53 .45 .9; hue2 letter .515 .435 .9; dark letter .5 .42 .9
word: dark title .5 .1 .13 .8; hue title .5 .23 .13 .8; hue2 title .5 .36 .13 .8;
  hue3 title .5 .49 .13 .8; hue4 title .5 .62 .13 .8; hue5 title .5 .75 .13 .8
book: black place .5 .05 .025; black column .1 .13 .9 .92 .02~.045; black number .5 .96 .025
newspaper: dark place .5 .06 .11 .9; dark box .03 .115 .97 .12; dark title .5 .17 .07 .94;
  dark~ column .03 .23 .24 .98 .016 | row 4 .243 0
screen: night box 0 0 1 1; hue~ code .06~.2 .05 .035 .9 | row 20 0 .048;
  gray number .02 .05 .03 | row 20 0 .048
slate: slate box 0 0 1 1; light~ title .5 .14 .1 .8 | row 4 0 .14; hue+~ item .1 .72 .07;
  light~ title .5 .85 .06; wood box 0 0 1 .03 | row 2 0 .97; wood box 0 0 .03 1 | row 2 .97 0
chart: white box 0 0 1 1; gray bar .1 .1 .95 .1 : .002 | row 9 0 .1;
  hue box .12 .3~.85 .15 .9 | row 12 .07 0; hue2 box .15 .2~.85 .18 .9 | row 12 .07 0 | maybe .6;
  black bar .1 .9 .95 .9 : .005; black bar .1 .1 .1 .9 : .005; black title .5 .05 .05;
  black~ number .06 .1 .025 | row 9 0 .1; black~ label .15 .94 .025 | row 8 .105 0
streets: #f2efe9 box -1 -1 3 2; #e0d8cc~ box -.9 -.9 -.81 -.85 | row 26 .11 0 | row 24 0 .075;
  #bcd8a4 box 0~1.3 0~1 .1~1.5 .1~1 | times 2; #a4c8e0 stroke -.8 0~1 .4 0~1 .8 0~1 2 0~1 : .05 .1
  .06; #fcd690 bar -1 -.4~1 3 .3~1.4 : .025 | times 3; #d89060 bar 0~1 -1 .3~1.4 2 : .035 | times 2;
  black~ place .1~1.2 .08~.92 .026 | times 10
sea_chart: #d8cca4 box 0 0 2 1; isle .4~.9 .4~.6 .3~.4; isle .2~1.2 .2~.8 .1~.25 | times 3;
  compass .12 .85 .09
network: light+ box 0 0 2 1; #c4dcf0 stroke -.1 0~1 .5 0~1 1 0~1 1.6 0~1 : .07; tram .1~.5 .2~.8 .7;
  tram .4~1 .1~.3 .8 .785; tram .3~1.1 .2~.5 .8 1.571; tram .8~1.2 .1~.3 .8 2.356
legend: black bar .01 .01 .99 .01 : .008 | row 2 0 .98;
  black bar .01 .01 .01 .99 : .008 | row 2 .98 0; white box .05 .93 .3 .95;
  black box .05 .93 .1 .95 | row 3 .1 0
pages: shadow box .485 0 .515 1; black column .05 .08 .45 .93 .02~.035;
  black column .55 .08 .95 .93 .02~.035
rosette: hue hoop .5 0 .5 : .006 | ring 48; hue2 hoop .3 0 .3 : .006 | ring 36
coil: light hoop .4 0 .6 : .008 | ring 32
"""
"""Every motif as `name: parts`."""
