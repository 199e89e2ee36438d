"""One file for what answers at a path or at a few that belong together; `serving.routes` lists them."""
