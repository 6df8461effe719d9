"""What is reported of answers: figures with intervals, calibration, distorted and foreign images, comparisons."""
