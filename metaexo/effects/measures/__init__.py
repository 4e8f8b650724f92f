"""Effect-size measures: the effect and its sampling variance from the statistics of one study."""
