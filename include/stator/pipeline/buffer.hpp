// buffer: reads ahead of whoever reads the answer.
#pragma once

#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "stator/pipeline/operator.hpp"
#include "stator/runtime/signal.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::inline pipeline {

namespace detail {

/// Between the task that reads ahead and the answer. Loop-affine, shared by the two.
template <class T>
struct Ahead {
    std::deque<T> items;
    std::exception_ptr failure;
    bool ended = false;
    Signal readable;
    Signal writable;
};

template <class T>
using AheadPtr = std::shared_ptr<Ahead<T>>;

template <class In, class Out>
class BufferOperator final : public Operator<In, Out, In, Out> {
    static_assert(!single_reply<Out>, "there is nothing to read ahead of a single answer");

public:
    BufferOperator(std::size_t most, TaskScope& scope) noexcept : most_{most}, scope_{&scope} {}
    Stream<Out> generate(Context context, In request, Engine<In, Out> next) override {
        return run(most_, scope_, std::move(context), std::move(request), next.owned());
    }

private:
    static Stream<Out> run(
        std::size_t most, TaskScope* scope, Context context, In request, Engine<In, Out> next
    ) {
        const auto ahead = std::make_shared<Ahead<Out>>();
        const auto token = scope->token().child_token();
        const CancelGuard reader{token, CancelReason::parent};
        const Context child = context.child();
        scope->spawn_on(
            *Loop::current(), read(ahead, most, std::move(next), child, std::move(request)), token
        );
        for (;;) {
            while (ahead->items.empty() && !ahead->ended) co_await ahead->readable.wait();
            if (ahead->items.empty()) break;
            auto item = std::move(ahead->items.front());
            ahead->items.pop_front();
            ahead->writable.notify();
            co_yield std::move(item);
        }
        if (ahead->failure) std::rethrow_exception(std::move(ahead->failure));
    }

    /// The task of the scope. What it holds is gone when it ends, wherever its frame goes.
    static Task<> read(
        AheadPtr<Out> ahead, std::size_t most, Engine<In, Out> next, Context context, In request
    ) {
        const Engine<In, Out> engine = std::move(next);
        try {
            auto items = engine.generate(context, std::move(request));
            while (auto item = co_await items.next()) {
                ahead->items.push_back(std::move(*item));
                ahead->readable.notify();
                while (ahead->items.size() >= most) co_await ahead->writable.wait();
            }
        } catch (...) {
            ahead->failure = std::current_exception();
        }
        ahead->ended = true;
        ahead->readable.notify();
    }

    std::size_t most_;
    TaskScope* scope_;
};

struct BufferStage {
    std::size_t most;
    TaskScope* scope;
    template <class In, class Out>
    auto bind() && {
        return BufferOperator<In, Out>{most, *scope};
    }
};

}  // namespace detail

/// Makes up to `most` (at least 1) items before they are asked for, beside whoever reads the
/// answer; then it waits. The task that does so belongs to `scope`, which must outlive the pipeline
/// and its answers; it begins with the first `next` and is cancelled when the answer is dropped.
/// All items are taken on the loop on which the first one was.
inline auto buffer(std::size_t most, TaskScope& scope) {
    return detail::BufferStage{most == 0 ? 1 : most, &scope};
}

}  // namespace stator::inline pipeline
