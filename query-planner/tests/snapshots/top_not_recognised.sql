SELECT condition_concept_id, AVG(condition_end_date - condition_start_date) AS days FROM condition_occurrence GROUP BY condition_concept_id ORDER BY days DESC LIMIT 10
