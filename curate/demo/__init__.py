"""The sample crawl site: drawings and shipped photographs, served on loopback by a server that misbehaves on purpose.

`draw.draw` makes a picture of any category from a seed, `photographs.photographs` lists what installed packages ship,
`pictures.catalogue` says what the site holds, and `site.DemoSite` serves it. Importing this package loads none of them.
"""
