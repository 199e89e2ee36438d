from .registry import make
from .square import Square
