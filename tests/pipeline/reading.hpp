// What the tests of pipelines read answers with.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "stator/pipeline/engine.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/support/on_a_loop.hpp"

namespace stator::testing {

template <class T>
Task<std::vector<T>> collect(Stream<T> items) {
    std::vector<T> all;
    while (auto item = co_await items.next()) all.push_back(std::move(*item));
    co_return all;
}

/// What came before the error, and the error.
template <class T>
struct Ended {
    std::vector<T> items;
    std::optional<Error> error;
};
template <class T>
Task<Ended<T>> read_to_the_end(Stream<T> items) {
    Ended<T> ended;
    try {
        while (auto item = co_await items.next()) ended.items.push_back(std::move(*item));
    } catch (const Error& error) {
        ended.error = error;
    }
    co_return ended;
}

}  // namespace stator::testing
