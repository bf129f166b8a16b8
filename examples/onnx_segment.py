"""Segment a photo with an ONNX file from `segdistill export-model`, without torch or segdistill.

python onnx_segment.py model.onnx photo.jpg mask.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def segment(model: str, photo: str) -> Image.Image:
    session = onnxruntime.InferenceSession(model)
    facts = session.get_modelmeta().custom_metadata_map
    image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
    multiple = int(facts["size_multiple"])
    scale = min(int(facts["resolution"]) / min(image.size), 4)
    width, height = (max(1, round(side * scale / multiple)) * multiple for side in image.size)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255
    scores = session.run(["scores"], {"images": pixels.transpose(2, 0, 1)[None]})[0][0]
    bilinear = Image.Resampling.BILINEAR
    maps = [np.asarray(Image.fromarray(each).resize(image.size, bilinear)) for each in scores]
    mask = Image.fromarray(np.argmax(maps, axis=0).astype(np.uint8))
    classes = json.loads(facts["classes"])
    mask.putpalette([value for each in classes for value in each["colour"]])
    for index, count in zip(*np.unique(np.asarray(mask), return_counts=True), strict=True):
        print(f"{classes[index]['name']}: {count / np.asarray(mask).size:.1%}")
    return mask


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    segment(*sys.argv[1:3]).save(sys.argv[3])
