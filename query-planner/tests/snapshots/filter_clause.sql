SELECT COUNT(*) FILTER (WHERE score >= 50) AS high, SUM(score) FILTER (WHERE score >= 50) AS high_total, COUNT(score) AS known FROM measurement
