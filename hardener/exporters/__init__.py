"""A trained run -> a checked ONNX bundle."""
