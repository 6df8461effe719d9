"""How `samx.radiograph` reads a file: each step from untrusted bytes to grey values is one module.

`limits`: what a file may cost. `elements`, `deflate`, `dicom`: a file split into elements. `image_pixel`: what of DICOM
is read, and refusals by name. `codecs`, `codestreams`: Pixel Data to a raster of stored values, no larger than needed.
`pictures`, `tiff`: PNG, JPEG and TIFF to the same. `reduction`: a raster to the working size. `grey_levels`: modality
LUT, VOI LUT and window, or robust percentiles inside the collimated `field`. `polarity`: whether the grey values are
those of a negative.
"""
