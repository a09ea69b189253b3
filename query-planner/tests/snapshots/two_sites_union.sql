SELECT COUNT(*) AS n FROM (SELECT person_id FROM hospital_A.person UNION ALL SELECT person_id FROM hospital_B.person) t
