"""The sample crawl site: drawings and shipped photographs on a server that misbehaves on purpose.

`draw.draw` makes a picture of any category from a seed. `photographs.photographs` lists pictures
that installed packages ship. `pictures.catalogue` lists the site's entries, and `site.DemoSite`
serves them on loopback. Importing this package loads none of these modules.
"""
