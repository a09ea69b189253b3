SELECT SUM(score) AS total, AVG(score) AS mean, STDDEV(score) AS sd FROM measurement
