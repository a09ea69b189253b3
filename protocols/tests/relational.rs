//! Operators and the operations they are made of, on the plaintext engine.

mod conformance;

use conformance::{classes, keys, primitives, quantiles, sketches, sorting, suppression, top};

const SEEDS: [u64; 2] = [20_261_122, 7];

/// (sites, with an analyst)
const WORLDS: [(usize, bool); 5] = [(2, false), (3, true), (5, false), (8, false), (2, true)];

on_clear! {
    WORLDS, SEEDS;
    mul_multiplies_in_both_rings => primitives::mul_multiplies_in_both_rings;
    and_is_bitwise => primitives::and_is_bitwise;
    a2b_gives_the_low_bits_at_every_width => primitives::a2b_gives_the_low_bits_at_every_width;
    negative_is_the_top_bit_at_every_width => primitives::negative_is_the_top_bit_at_every_width;
    is_zero_looks_at_the_low_bits_only => primitives::is_zero_looks_at_the_low_bits_only;
    b2a_goes_plane_by_plane_in_both_rings => primitives::b2a_goes_plane_by_plane_in_both_rings;
    select_and_mux_choose_in_both_rings => primitives::select_and_mux_choose_in_both_rings;
    comparisons_are_those_of_signed_numbers => primitives::comparisons_are_those_of_signed_numbers;
    shuffle_keeps_rows_whole => primitives::shuffle_keeps_rows_whole;
    place_puts_rows_where_they_belong => primitives::place_puts_rows_where_they_belong;
    sort_sorts_stably => sorting::sort_sorts_stably;
    sort_keys_sorts_up_and_with_flipped_bits_down => sorting::sort_keys_sorts_up_and_with_flipped_bits_down;
    order_is_the_permutation_of_the_stable_sort => sorting::order_is_the_permutation_of_the_stable_sort;
    top_k_takes_the_best => top::top_k_takes_the_best;
    by_histogram_finds_the_cell => quantiles::by_histogram_finds_the_cell;
    by_histogram_refines_many_cells => quantiles::by_histogram_refines_many_cells;
    by_sort_finds_the_value => quantiles::by_sort_finds_the_value;
    by_sort_grouped_finds_each_groups_value => quantiles::by_sort_grouped_finds_each_groups_value;
    remainders_are_those_of_division => quantiles::remainders_are_those_of_division;
    nothing_small_follows_from_what_is_shown => suppression::nothing_small_follows_from_what_is_shown;
    a_total_that_tells_its_hidden_part_is_hidden => suppression::a_total_that_tells_its_hidden_part_is_hidden;
    what_lies_within_another_cell_does_not_tell_it => suppression::what_lies_within_another_cell_does_not_tell_it;
    nothing_small_follows_from_paired_tables => suppression::nothing_small_follows_from_paired_tables;
    a_label_does_not_tell_whether_others_have_somebody => suppression::a_label_does_not_tell_whether_others_have_somebody;
    primary_suppression_alone_is_caught => suppression::primary_suppression_alone_is_caught;
    tables_of_large_counts_are_shown_whole => suppression::tables_of_large_counts_are_shown_whole;
    cells_hidden_for_other_reasons_do_not_follow_either => suppression::cells_hidden_for_other_reasons_do_not_follow_either;
    impossible_rules_are_refused => suppression::impossible_rules_are_refused;
    classes_are_judged_as_counting_does => classes::classes_are_judged_as_counting_does;
    mask_hides_values => suppression::mask_hides_values;
    the_frequent_keys_come_out => keys::the_frequent_keys_come_out;
    level_counts_are_those_of_the_union => sketches::level_counts_are_those_of_the_union;
}
