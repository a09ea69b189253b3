SELECT width_bucket(score, 0, 100, 10) AS bucket, COUNT(*) AS n FROM measurement GROUP BY 1 ORDER BY n DESC, bucket LIMIT 3
