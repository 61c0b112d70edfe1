// What the tests of pipelines read answers with.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/pipeline/context.hpp"
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

/// What becomes of an answer on its way; `fail` is its engine's matter.
enum class Fate { read, drop, stop, kill, cancel, fail };

struct Seen {
    std::vector<int> items;
    int ends = 0;
    std::optional<Error> error;
    bool dropped = false;
};

/// Reads, and does at the item `at` what `fate` says. After the end, or an error, there must be
/// nothing more.
inline Task<> read_disturbed(
    Stream<int> items, Fate fate, int at, Context context, CancellationToken token, Seen* seen
) {
    try {
        while (auto item = co_await items.next()) {
            seen->items.push_back(*item);
            if (*item != at) continue;
            if (fate == Fate::drop) {
                seen->dropped = true;
                co_return;
            }
            if (fate == Fate::stop) context.stop();
            if (fate == Fate::kill) context.kill();
            if (fate == Fate::cancel) token.cancel();
        }
        ++seen->ends;
    } catch (const Error& error) {
        seen->error = error;
    }
    if (auto more = co_await items.next()) ADD_FAILURE() << "an item after the end: " << *more;
}

}  // namespace stator::testing
