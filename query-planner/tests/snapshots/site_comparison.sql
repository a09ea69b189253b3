SELECT 'A' AS site, COUNT(*) AS n FROM hospital_A.person UNION ALL SELECT 'B', COUNT(*) FROM hospital_B.person
