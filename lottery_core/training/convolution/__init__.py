"""Training steps of convolutional networks as compiled code, the faster the sparser."""
