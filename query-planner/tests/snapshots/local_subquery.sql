SELECT AVG(n) AS mean_conditions FROM (SELECT person_id, COUNT(*) AS n FROM hospital_C.condition_occurrence GROUP BY person_id) t
