SELECT COUNT(*) AS n FROM condition_occurrence WHERE condition_concept_id = 192671
SELECT COUNT(*) AS n FROM condition_occurrence WHERE condition_concept_id = 4294548
SELECT COUNT(*) AS n FROM condition_occurrence WHERE condition_concept_id IN (81893, 30753)
SELECT COUNT(*) AS n FROM drug_exposure WHERE drug_concept_id = 1124300
SELECT COUNT(*) AS n, SUM(year_of_birth) AS years FROM person WHERE year_of_birth BETWEEN 1930 AND 1945
SELECT COUNT(*) AS n, AVG(2019 - year_of_birth) AS age FROM person WHERE year_of_birth > 1972
SELECT MEDIAN(2019 - year_of_birth) AS age FROM person WHERE year_of_birth BETWEEN 1950 AND 1958
SELECT condition_concept_id, COUNT(*) AS n FROM condition_occurrence WHERE condition_concept_id IN (4142905, 4296205, 381316) GROUP BY condition_concept_id ORDER BY condition_concept_id
SELECT COUNT(*) AS n FROM procedure_occurrence WHERE procedure_concept_id = 4047491
SELECT COUNT(*) AS n FROM procedure_occurrence WHERE procedure_concept_id = 4252419
SELECT COUNT(*) AS n FROM measurement WHERE measurement_concept_id = 3014599
SELECT COUNT(*) AS n FROM measurement WHERE measurement_concept_id = 40769179
SELECT COUNT(DISTINCT person_id) AS patients FROM condition_occurrence WHERE condition_concept_id = 4266809
SELECT COUNT(DISTINCT person_id) AS patients FROM condition_occurrence WHERE condition_concept_id = 4310024
SELECT COUNT(DISTINCT person_id) AS patients FROM drug_exposure WHERE drug_concept_id = 40213201
SELECT COUNT(DISTINCT person_id) AS patients FROM drug_exposure WHERE drug_concept_id = 46233988
SELECT COUNT(DISTINCT person_id) AS patients FROM condition_occurrence WHERE condition_concept_id = 4027663
SELECT COUNT(*) AS patients FROM (SELECT DISTINCT person_id FROM condition_occurrence WHERE condition_concept_id = 317576) a JOIN (SELECT DISTINCT person_id FROM drug_exposure WHERE drug_concept_id = 1539411) b ON a.person_id = b.person_id
SELECT condition_concept_id, COUNT(*) AS n FROM condition_occurrence WHERE condition_concept_id IN (440086, 195588, 4146173) GROUP BY condition_concept_id ORDER BY condition_concept_id
SELECT COUNT(*) AS n, SUM(CASE WHEN drug_concept_id = 19019979 THEN 1 ELSE 0 END) AS first FROM drug_exposure WHERE drug_concept_id IN (19019979, 40165015)
