// Steps that change items one by one; those that stand side by side become one.
#pragma once

#include <concepts>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "stator/base/error.hpp"
#include "stator/pipeline/engine.hpp"
#include "stator/runtime/stream_ops.hpp"

namespace stator::inline pipeline {

namespace detail {

template <class F>
struct ArgumentOf : ArgumentOf<decltype(&F::operator())> {};
template <class R, class A>
struct ArgumentOf<R (*)(A)> {
    using Type = std::remove_cvref_t<A>;
};
template <class R, class F, class A>
struct ArgumentOf<R (F::*)(A)> : ArgumentOf<R (*)(A)> {};
template <class R, class F, class A>
struct ArgumentOf<R (F::*)(A) const> : ArgumentOf<R (*)(A)> {};
template <class R, class F, class A>
struct ArgumentOf<R (F::*)(A) const noexcept> : ArgumentOf<R (*)(A)> {};

/// A step is called with an item of `Down` and a function that takes what becomes of it, which it
/// calls once or not at all. `Up` is what it makes where `Down` is known; `always`: it never drops.
template <class F>
struct MapStep {
    F function;
    static constexpr bool always = true;
    template <class Up>
    using DownOf = typename ArgumentOf<F>::Type;
    template <class Down>
    using UpOf = std::remove_cvref_t<std::invoke_result_t<const F&, Down>>;

    template <class Item, class Emit>
    void operator()(Item&& item, Emit&& emit) const {
        std::forward<Emit>(emit)(function(std::forward<Item>(item)));
    }
};

template <class F>
struct FilterStep {
    F predicate;
    static constexpr bool always = false;
    template <class Up>
    using DownOf = Up;
    template <class Down>
    using UpOf = Down;

    template <class Item, class Emit>
    void operator()(Item&& item, Emit&& emit) const {
        if (predicate(std::as_const(item))) std::forward<Emit>(emit)(std::forward<Item>(item));
    }
};

/// `Outer` is nearer to the frontend: items pass `Inner` first.
template <class Outer, class Inner>
struct StepPair {
    Outer outer;
    Inner inner;
    static constexpr bool always = Outer::always && Inner::always;
    template <class Up>
    using DownOf = typename Inner::template DownOf<typename Outer::template DownOf<Up>>;
    template <class Down>
    using UpOf = typename Outer::template UpOf<typename Inner::template UpOf<Down>>;

    template <class Item, class Emit>
    void operator()(Item&& item, Emit&& emit) const {
        inner(std::forward<Item>(item), [&](auto&& between) {
            outer(std::forward<decltype(between)>(between), emit);
        });
    }
};

template <class T>
struct IsItemStep : std::false_type {};
template <class F>
struct IsItemStep<MapStep<F>> : std::true_type {};
template <class F>
struct IsItemStep<FilterStep<F>> : std::true_type {};

/// Any number of steps with what comes after them: an engine with one coroutine, however many they
/// are.
template <class Step, class In, class DownOut, class UpOut>
class Steps {
    using Down = ReplyItem<DownOut>;
    using Up = ReplyItem<UpOut>;
    static_assert(
        !single_reply<UpOut> || Step::always, "a filter needs an engine that answers with a stream"
    );

public:
    Steps(Step step, Engine<In, DownOut> next) : step_{std::move(step)}, next_{std::move(next)} {}
    Reply<UpOut> generate(Context context, In request) const {
        return run(&step_, next_.borrowed().generate(std::move(context), std::move(request)));
    }

private:
    static Stream<Up> run(const Step* step, Stream<Down> items) {
        std::exception_ptr failure;
        try {
            while (auto item = co_await items.next()) {
                std::optional<Up> made;
                (*step)(std::move(*item), [&made](auto&& up) {
                    made.emplace(std::forward<decltype(up)>(up));
                });
                if constexpr (!Step::always) {
                    if (!made) continue;
                }
                co_yield std::move(*made);
            }
        } catch (...) {
            failure = std::current_exception();
        }
        if (!failure) co_return;
        co_await shielded(items.close());
        std::rethrow_exception(failure);
    }
    static Task<Up> run(const Step* step, Task<Down> reply) {
        std::optional<Up> made;
        (*step)(co_await std::move(reply), [&made](auto&& up) {
            made.emplace(std::forward<decltype(up)>(up));
        });
        co_return std::move(*made);
    }

    Step step_;
    Engine<In, DownOut> next_;
};

template <class Down, class UpOut>
struct SameShape {  // what answers with `Down` in the way in which UpOut does
    using Type = Down;
};
template <class Down, class Up>
struct SameShape<Down, Task<Up>> {
    using Type = Task<Down>;
};

}  // namespace detail

/// Changes each item: `map([](Delta delta) -> Chunk {...})`. Of functions that take anything
/// (`auto`) the type cannot be told. What it throws ends the answer.
template <class F>
auto map(F function) {
    return detail::MapStep<F>{std::move(function)};
}

/// Lets those items pass for which `predicate` is true.
template <class F>
auto filter(F predicate) {
    return detail::FilterStep<F>{std::move(predicate)};
}

}  // namespace stator::inline pipeline
