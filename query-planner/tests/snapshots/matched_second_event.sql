SELECT COUNT(*) FROM (SELECT ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY condition_start_date) r FROM condition_occurrence) t WHERE r = 2
