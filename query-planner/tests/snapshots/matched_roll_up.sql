WITH dx AS (SELECT person_id, MIN(condition_start_date) AS d FROM condition_occurrence GROUP BY person_id) SELECT COUNT(*) FROM dx WHERE d > DATE '2000-01-01'
