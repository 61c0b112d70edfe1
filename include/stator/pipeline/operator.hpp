// Operator: a stage of a pipeline that sees both directions of a request.
#pragma once

#include <utility>

#include "stator/pipeline/engine.hpp"

namespace stator::inline pipeline {

/// Takes a request of `UpIn`, asks `next` with one of `DownIn` (or several, or none), and makes the
/// answer of `UpOut` out of its answers of `DownOut`: what stands before `next` is the request
/// edge, what stands after it the response edge.
///
///     struct Preprocess final : Operator<Chat, Chunk, Tokens, Delta> {
///         Stream<Chunk> generate(Context context, Chat chat, Engine<Tokens, Delta> next) override
///         {
///             return transformed(next.generate(context, tokenize(chat)), detokenize);
///         }
///     };
///
/// An answer that is a coroutine of its own closes the stream of `next` when it is closed itself or
/// fails, as `transformed` does: what stands there may own tasks.
///
/// Owned by its pipeline, which every answer keeps alive. Called for several requests at a time, on
/// several loops: what it holds must be safe for that. `next` is borrowed: it is good until the
/// answer has ended; what outlives that (a task of some scope) takes `next.owned()`.
template <class UpIn, class UpOut, class DownIn, class DownOut>
class Operator {
public:
    virtual ~Operator() = default;
    virtual Reply<UpOut> generate(Context context, UpIn request, Engine<DownIn, DownOut> next) = 0;

protected:
    Operator() = default;
    Operator(const Operator&) = default;
    Operator(Operator&&) = default;
    Operator& operator=(const Operator&) = default;
    Operator& operator=(Operator&&) = default;
};

namespace detail {

template <class UpIn_, class UpOut_, class DownIn_, class DownOut_>
struct OperatorTypes {
    using UpIn = UpIn_;
    using UpOut = UpOut_;
    using DownIn = DownIn_;
    using DownOut = DownOut_;
};
template <class UpIn, class UpOut, class DownIn, class DownOut>
OperatorTypes<UpIn, UpOut, DownIn, DownOut> types_of(const Operator<UpIn, UpOut, DownIn, DownOut>*);

template <class T>
concept IsOperator = requires(const T* stage) { types_of(stage); };
template <IsOperator T>
using TypesOf = decltype(types_of(static_cast<const T*>(nullptr)));

/// An operator with what comes after it: an engine.
template <IsOperator Op>
class Stacked {
    using Types = TypesOf<Op>;

public:
    Stacked(Op op, Engine<typename Types::DownIn, typename Types::DownOut> next)
        : op_{std::move(op)}, next_{std::move(next)} {}
    Reply<typename Types::UpOut> generate(Context context, typename Types::UpIn request) const {
        return op_.generate(std::move(context), std::move(request), next_.borrowed());
    }

private:
    mutable Op op_;
    Engine<typename Types::DownIn, typename Types::DownOut> next_;
};

}  // namespace detail

}  // namespace stator::inline pipeline
