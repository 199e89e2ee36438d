"""A folder of class folders -> classes and labelled images."""

from __future__ import annotations

from pathlib import Path

from hardener.config.reading import AS_FOUND, Reading
from hardener.data.brought import Brought
from hardener.data.image_files import ImageFiles
from hardener.data.index import Seen, indexed
from hardener.data.place import Folder
from hardener.data.sources._inside import read_inside


class ImageFolder:
    """A folder of class folders, alone or below folders that are named like splits."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is a folder."""
        return root.is_dir()

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of each split, or of the class folders.

        Raises:
            HardenerError: see `read_inside`.
        """

        def look() -> tuple[Brought, Seen]:
            place = Folder(root)
            found = read_inside(place, reading)
            assert place.walked is not None, "all of it was listed"
            return found, Seen.of(root, place.walked)

        return indexed(root, "", reading, look)


def read_class_folders(root: Path) -> tuple[tuple[str, ...], ImageFiles]:
    """List the images below each class folder of `root`, classes and files sorted by name.

    Raises:
        HardenerError: no images, no class folders, or a layout that is not plain.
    """
    (group,) = ImageFolder().read(root, AS_FOUND).splits.values()
    classes = tuple(sorted(group.classes))
    return classes, group.labelled(classes)
