// What an operator of a pipeline costs.
#pragma once

#include <cstddef>

#include "stator/runtime/task.hpp"

namespace bench {

/// Nanoseconds of a request of one item through that many operators, each a coroutine that passes
/// on what it gets.
template <std::size_t operators>
stator::Task<double> pipeline_request();
/// The same for one item of a long answer.
template <std::size_t operators>
stator::Task<double> pipeline_item();

/// Nanoseconds that one more operator adds to a request of one item: a coroutine that passes on
/// what it gets, among 16 of them against none.
stator::Task<double> operator_request();
/// The same for one item of a long answer.
stator::Task<double> operator_item();
/// As `operator_item` for `map`, whose neighbours run in one coroutine.
stator::Task<double> mapped_item();

}  // namespace bench
