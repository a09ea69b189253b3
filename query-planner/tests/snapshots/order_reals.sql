SELECT APPROX_MEDIAN(value_as_number) AS mid, MIN(value_as_number) AS low, MEDIAN(cost) AS cost FROM measurement
