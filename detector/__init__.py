"""What is deployed: a frame goes in, boxes come out. Needs numpy, opencv and openvino."""
