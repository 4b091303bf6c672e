"""Which tests get the mark `slow`: `ci/test fast` leaves them out, `ci/test` runs them too.

The fast tier takes every id of a test on NumPy and array-api-strict, none on a variant of these
(tests/conftest.py), and the first on torch. JAX compiles for a second in most cases: only the tests
of ON_JAX have their first id on it. Of cases that come in parts (each.py) it takes the first part.
What takes more than half a second by itself stands in SLOW, under the reason.
"""

import re

import pytest

VARIANTS = {"readonly", "device1", "no_float64", "strictest"}  # words of a test's id
ON_JAX = """
test_a_loss_is_the_same_on_every_library_and_stays_in_its_dtype
test_a_batch_that_weighs_nothing_leaves_statistics_and_parameters_alone
test_a_rule_gives_the_same_on_every_library_in_its_dtype
test_clipping_is_torchs
test_the_bits_are_those_of_the_definition_on_every_library_and_compiled
test_every_engine_equals_the_plain_loop_on_numpy_with_dropout_over_epochs
test_a_moved_model_predicts_there_what_it_predicted_here
""".split()
SLOW = {  # files and tests
    "starts processes": """
        test_ci_gpu.py test_ci_gpu_bundle.py test_ci_gpu_failures.py test_ci_gpu_verdicts.py
        test_kills.py test_packaging.py test_reliability.py test_sanitize.py test_threads_at_exit.py
        test_a_limit_of_a_files_size_keeps_the_model_before_and_says_where_the_new_one_is
        test_cupy_standin.py test_examples.py test_standins.py
        test_another_process_is_refused_until_the_first_is_killed
        test_another_process_finds_the_same_in_functions_of_the_users
        test_a_reader_that_goes_away_costs_no_work test_output_to_a_full_disk_is_told_once
        test_a_child_that_was_forked_off_after_a_fit_can_fit
        test_a_contender_that_cannot_start_or_fails_says_why
        test_a_row_is_enough_for_estimators_train_and_command_line
        test_cross_validation_is_a_loop_and_two_processes_give_the_same
        test_a_driver_that_crashes_or_hangs_takes_no_doctor_along
        test_a_driver_without_a_card_is_no_card_and_hidden_ones_are_told
        test_a_file_from_another_cpu_passes
        test_a_fit_says_what_memory_it_took
        test_a_notebook_shows_figures_once_reports_and_a_bar
        test_a_link_that_breaks_or_computes_wrongly_is_told_with_its_reason
        test_a_run_writes_json_that_is_shown_again
        test_a_team_that_gets_no_threads_works_with_those_that_it_has
        test_a_training_on_two_threads_is_that_on_one
        test_ctrl_c_ends_the_training_after_the_epoch_and_the_model_is_saved
        test_ctrl_c_while_the_command_is_being_loaded_ends_it_without_a_traceback
        test_each_link_is_tried_for_real
        test_each_signal_ends_the_command_after_the_epoch
        test_mypy_sees_the_faults_of_a_users_script
        test_mypy_has_nothing_against_a_right_script
        test_mypy_takes_arrays_of_torch_and_jax
        test_estimators_load_scores_and_explanations_only_where_they_are_asked_for
        test_the_command_line_loads_scikit_learn_only_where_it_is_asked_for
        test_each_tier_is_tried_on_the_stand_ins_and_tells_what_it_lacks
        test_pytest_compares_with_a_file_in_workers_too
        test_rows_travel_from_workers_and_to_junit
        test_scikit_learns_move_estimator_to_moves_all_of_a_model
        test_the_benchmark_of_a_card_runs_on_the_standin
        test_the_command_itself_prints_its_error_and_no_traceback
        test_the_command_line_logs_to_standard_error_as_it_is_asked_to
        test_the_cupy_engine_passes_its_checks_on_the_standins
        test_the_site_is_built_without_a_warning_and_its_pages_fit_a_phone
        test_who_holds_the_memory_of_a_full_card_is_asked_for
        test_with_dispatch_on_torch_arrays_stay_torch_through_pipelines_and_searches
        test_without_scikit_learns_callbacks_the_estimators_work
        test_workers_take_turns_and_hold_to_their_threads
    """,
    "compiles": """
        test_cuda_sources.py
        test_elementary_functions_are_right_to_a_few_units_in_the_last_place
        test_elementary_functions_have_the_limits_of_the_exact_ones
        test_every_contender_on_a_card_takes_the_batches_of_the_order
        test_every_product_is_as_short_as_the_case_says
        test_labels_that_a_library_cannot_hold_come_back_in_numpy
        test_no_layer_reads_a_number_in_a_step
        test_no_loss_reads_a_number_in_a_step
        test_no_rule_reads_a_number_in_a_step
    """,
    "tests of scikit-learn, blocks of pages, PyTorch as a whole": """
        test_check_estimator.py test_sklearn_own.py
        test_scikit_learns_checks_pass_where_arrays_are_encoded
        test_the_blocks_of_a_page_run_in_order_and_print_what_stands_there
        test_the_table_for_who_comes_from_pytorch_names_what_there_is_there
    """,
    "draws many cases, or a large one": """
        test_what_is_printed_runs_in_the_place_of_the_users_backward_and_is_right
        test_the_checker_knows_the_form_as_well_as_before
        test_no_right_script_of_the_unseen_half_is_accused
        test_a_network_is_recognised_in_each_form
        test_plain_networks_are_recognised_as_by_their_costs
        test_an_update_after_each_sample_is_told_beside_what_else_is_wrong
        test_a_sane_fit_raises_no_alarm
        test_what_users_pass_is_refused_or_accepted_rightly
        test_a_number_at_the_ends_of_floats_works_or_gets_its_error_without_a_warning
        test_a_signal_while_a_large_table_is_read_leaves_nothing_behind
        test_with_a_checkpoint_it_goes_on_to_the_model_of_an_undisturbed_training
        test_a_long_epoch_is_left_within_and_gone_on_with
        test_a_training_that_was_stopped_goes_on_to_the_same_model_and_scores
        test_every_kind_of_training_goes_on_to_the_same_end
        test_every_library_goes_on_to_the_same_end
        test_another_value_of_an_option_is_refused_by_its_name
        test_other_data_are_refused_by_their_name
        test_what_scikit_learn_draws_is_drawn_alike_whatever_the_way
        test_names_with_numbers_in_them_are_text_without_a_word
        test_a_file_keeps_the_best_epoch_whichever_it_is
        test_a_file_keeps_some_epochs_of_a_long_history_and_all_of_a_short_one
        test_numbers_and_dates_in_a_writing_that_is_not_read_are_told
        test_scores_of_one_class_rank_by_the_second_whatever_its_label
        test_numbers_that_may_be_dates_are_told_with_the_type_that_reads_them
        test_the_best_threshold_is_as_good_as_any
        test_the_score_that_chose_the_epoch_is_reported_too
        test_a_tuned_threshold_has_few_decimals_and_weights_count_as_rows
        test_columns_are_the_same_however_many_are_counted_at_a_time
        test_folds_stand_where_the_model_comes_from
        test_a_rare_label_is_told_of_once_though_rows_are_divided_twice
        test_a_cell_says_the_median_ratio_and_is_blue_where_xpmlp_is_faster
        test_a_column_of_no_use_is_named_with_the_remedy
        test_a_column_that_is_merely_unusual_is_not_named
        test_a_flipped_bit_is_refused_or_changes_nothing
        test_a_label_in_few_rows_is_trained_on_in_each_fold
        test_a_label_in_one_row_is_trained_on_and_that_is_told
        test_a_label_that_only_the_last_year_has_is_left_out_if_that_is_said
        test_a_metric_that_a_fold_does_not_have_has_no_mean
        test_a_model_of_an_array_takes_tables_of_its_names
        test_a_search_divides_as_a_training_does
        test_a_thousand_columns_and_97_classes_are_folded_and_small
        test_a_threshold_decides_in_the_folds_too
        test_a_training_equals_the_plain_one_whatever_the_network_and_the_plan
        test_a_wide_x_is_never_dense_as_a_whole
        test_all_options_at_once_train_alike_on_every_library
        test_an_interrupted_fold_leaves_the_model_and_says_so
        test_another_file_to_test_on_weighs_by_its_own_column
        test_the_estimator_of_an_epoch_trains_on_as_its_fit_does
        test_a_model_from_a_file_trains_on_as_one_from_a_pickle
        test_any_row_is_predicted_as_the_model_predicts_it
        test_any_table_is_encoded_in_finite_bounded_numbers_or_refused_in_a_sentence
        test_any_text_comes_back_as_it_was_written
        test_each_fold_in_time_has_more_past
        test_every_form_of_x_gives_the_model_of_the_plain_array
        test_every_line_of_a_damaged_file_is_of_a_row_that_is_kept_or_told
        test_folds_part_groups_and_weigh
        test_folds_that_cannot_be_are_told_before_the_training
        test_host_and_card_are_timed_once_a_process
        test_hundreds_of_columns_are_read
        test_integer_labels_train_one_output_or_one_each
        test_many_columns_of_numbers_have_few_bins_each_unless_the_user_says_how_many
        test_nothing_keeps_hold_of_a_carry_that_was_handed_over
        test_one_librarys_file_is_compared_where_another_library_runs
        test_partial_dependence_is_the_mean_prediction_at_each_value
        test_plot_writes_two_pictures_beside_the_model
        test_pytest_names_a_fault_and_skips_what_only_one_machine_knows
        test_raw_rows_are_encoded_in_the_file_as_in_the_model
        test_right_networks_pass_whatever_their_kinks
        test_rows_are_a_resource_too_and_a_regression_is_searched_by_r2
        test_rows_on_the_disk_are_those_in_memory
        test_suggested_rates_hardly_depend_on_the_seed
        test_targets_are_standardised_whatever_their_loss
        test_text_labels_come_back_as_numpy_text
        test_the_command_saves_and_compares
        test_the_flower_is_told_all_that_is_wrong_with_400_samples
        test_the_gradients_of_all_options_at_once_are_right
        test_the_sign_is_told_that_forward_remembers_and_what_backward_has_wrong
        test_the_wrong_line_is_found_and_mended_in_the_names_of_the_code
        test_these_libraries_pass
        test_thousands_of_columns_with_bins_are_saved
        test_thousands_of_columns_with_long_names_are_saved
        test_very_many_columns_and_classes_are_cut_to_a_page
        test_a_file_is_read_as_its_options_say_on_every_command
        test_a_name_with_a_comma_can_be_dropped_typed_and_called_a_category
        test_what_cannot_be_is_one_sentence
        test_what_is_validated_on_is_as_without_folds
        test_a_table_unpacks_to_a_bounded_multiple_of_its_size
        test_lists_and_texts_that_repeat_are_counted_too
        test_rows_beyond_the_memory_that_is_allowed_are_refused
        test_a_later_line_without_end_is_a_bad_row
        test_an_array_that_is_no_json_is_told_with_its_row
        test_styles_of_excel_are_counted_before_they_are_read
        test_a_member_that_is_no_array_of_its_size_is_refused
        test_quotes_too_many_at_random_lose_no_other_line
        test_a_quote_too_many_costs_its_line_among_cells_of_several_lines
        test_text_after_a_quote_is_read_a_few_times_at_most
    """,
}
NAMES = {name for names in SLOW.values() for name in names.split()}


def pytest_collection_modifyitems(items):
    """Add the marks; pytest reads -m after the hooks of a conftest."""
    tried = set()
    for item in items:
        by_name = {item.path.name, item.originalname} & NAMES
        if by_name or _is_of_another_library(item, tried) or _is_a_later_part(item):
            item.add_marker(pytest.mark.slow)


def _is_a_later_part(item):
    """Whether an id walks not the first part of a test's cases (each.py)."""
    return "nth_part" in item.fixturenames and item.callspec.params["nth_part"] > 0


def _is_of_another_library(item, tried):
    """Whether a case is of a library that the fast tier does not try in it; notes what it tries."""
    words = set(re.split("[-: \\[\\]]", item.name.lower()))
    if words & VARIANTS or ("jax" in words and item.originalname not in ON_JAX):
        return True
    cases = {(item.path, item.originalname, word) for word in words & {"torch", "jax"}}
    repeated = bool(cases & tried)
    tried |= cases
    return repeated
