SELECT SUM(cost) AS cost, AVG(cost) AS mean_cost, VAR_POP(cost) AS v, SUM(value_as_number) AS x, AVG(value_as_number) AS mean_x FROM measurement
