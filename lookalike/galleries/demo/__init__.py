"""The demo gallery: drawings of COCO's animal, sports and food categories, made by code from a seed."""

from lookalike.galleries.demo.generate import DemoGallery, generate

__all__ = ["DemoGallery", "generate"]
