SELECT COUNT(*) AS n FROM condition_occurrence
