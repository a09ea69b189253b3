SELECT gender_concept_id, COUNT(*) AS n, AVG(2019 - year_of_birth) AS age FROM person GROUP BY gender_concept_id HAVING COUNT(*) > 20 ORDER BY n DESC
