"""Networks as ONNX graphs: a file from elsewhere opened, and a module written as one."""
