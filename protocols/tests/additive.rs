//! The additive engine does what the plaintext engine does: every operation and operator, with correlated randomness that the
//! sites make themselves, for every number of sites, in memory and over QUIC, with both kinds of carry link.

mod conformance;

use conformance::{classes, keys, primitives, quantiles, sketches, sorting, suppression, top};

const SEED: u64 = 20_261_122;

/// A conformance function on the additive engine. Its budget is counted while it runs on the plaintext engine.
macro_rules! on_additive {
    ($($name:ident => $function:path;)*) => {$(
        #[test]
        fn $name() {
            use mpc_core::world::{Net, World};
            use protocols::additive::demand::Link::{Far, Local, Narrow};
            let cases = [
                (2, false, Net::Memory, Local), (3, true, Net::Memory, Far), (5, false, Net::Memory, Far),
                (8, false, Net::Memory, Local), (2, true, Net::Quic, Narrow), (3, false, Net::Quic, Local),
                (5, false, Net::Quic, Local), (8, false, Net::Quic, Local),
            ];
            for (sites, analyst, net, link) in cases {
                println!("seed {SEED}, {sites} sites, analyst {analyst}, {net:?}, {link:?}");
                let world = World::new(sites).seed(SEED);
                let world = if analyst { world.with_analyst() } else { world };
                let parties = sites + usize::from(analyst);
                let count = move |session: mpc_core::Session, _: ()| async move {
                    let mut case = conformance::Case::new(&session, SEED);
                    let clear = protocols::clear::Clear::new(session, conformance::statement());
                    let mut engine = protocols::additive::demand::Counting::new(clear, sites, link);
                    let result = $function(&mut engine, &mut case).await;
                    let (clear, budget) = engine.into_parts();
                    (clear.into_session(), result.map(|()| budget))
                };
                let budget = world.clone().run(count, vec![(); parties]).remove(0).result.unwrap();
                let program = move |session: mpc_core::Session, _: ()| {
                    let budget = budget.clone();
                    async move {
                        let mut case = conformance::Case::new(&session, SEED);
                        let mut engine = protocols::additive::Additive::new(session, conformance::statement());
                        let result = match engine.prepare(&budget).await {
                            Ok(()) => $function(&mut engine, &mut case).await,
                            Err(error) => Err(error),
                        };
                        (engine.into_session(), result)
                    }
                };
                for outcome in world.over(net).run(program, vec![(); parties]) {
                    outcome.result.unwrap();
                }
            }
        }
    )*};
}

on_additive! {
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
    by_sort_grouped_finds_each_groups_value => quantiles::by_sort_grouped_finds_each_groups_value;
    a_total_that_tells_its_hidden_part_is_hidden => suppression::a_total_that_tells_its_hidden_part_is_hidden;
    tables_of_large_counts_are_shown_whole => suppression::tables_of_large_counts_are_shown_whole;
    classes_are_judged_as_counting_does => classes::classes_are_judged_as_counting_does;
    mask_hides_values => suppression::mask_hides_values;
    the_frequent_keys_come_out => keys::the_frequent_keys_come_out;
    level_counts_are_those_of_the_union => sketches::level_counts_are_those_of_the_union;
    by_sort_finds_the_value => quantiles::by_sort_finds_the_value;
    remainders_are_those_of_division => quantiles::remainders_are_those_of_division;
}
