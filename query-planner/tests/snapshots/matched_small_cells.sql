SELECT condition_concept_id, COUNT(*) AS n FROM condition_occurrence WHERE condition_concept_id IN (4043241, 80809, 198199, 317009, 44782520, 4066995, 192671) GROUP BY condition_concept_id ORDER BY 1
