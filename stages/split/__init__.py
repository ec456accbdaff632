"""Split the clean data set into train, val, test and calibration lists."""
