// Engine<In, Out>: something that answers requests, as a value.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include "stator/pipeline/context.hpp"
#include "stator/runtime/stream.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline pipeline {

namespace detail {

template <class Out>
struct ReplyOfEngine {
    using Reply = Stream<Out>;
    using Item = Out;
};
template <class Out>
struct ReplyOfEngine<Task<Out>> {
    using Reply = Task<Out>;
    using Item = Out;
};

template <class T>
struct IsStream : std::false_type {};
template <class T>
struct IsStream<Stream<T>> : std::true_type {};

}  // namespace detail

/// What an engine of `Out` answers with: Stream<Out>; Task<T> where Out is Task<T>, the mark of a
/// single answer.
template <class Out>
using Reply = typename detail::ReplyOfEngine<Out>::Reply;

/// One item of that answer.
template <class Out>
using ReplyItem = typename detail::ReplyOfEngine<Out>::Item;

template <class Out>
inline constexpr bool single_reply = !std::same_as<Reply<Out>, Stream<Out>>;

namespace detail {

template <class E, class In, class Out>
concept HasGenerate = requires(const E& engine, Context context, In request) {
    { engine.generate(std::move(context), std::move(request)) } -> std::same_as<Reply<Out>>;
};
template <class E, class In, class Out>
concept IsGenerator = requires(const E& engine, Context context, In request) {
    { engine(std::move(context), std::move(request)) } -> std::same_as<Reply<Out>>;
};

}  // namespace detail

/// Whatever answers In with Out: a coroutine, an asynchronous generator or a lambda of (Context,
/// In), or an object with `generate(Context, In) const`. The four shapes:
///
///     In, Task<Out>           one request, one answer
///     In, Out                 one request, many items
///     Stream<In>, Task<Out>   many requests, one answer
///     Stream<In>, Out         many requests, many items
///
/// It is called for several requests at a time, on several loops: what it holds must be safe for
/// that.
template <class E, class In, class Out>
concept AsyncEngine = detail::HasGenerate<E, In, Out> || detail::IsGenerator<E, In, Out>;

/// Any AsyncEngine of these types, as a cheap copyable value; thread-safe if the engine is.
template <class In, class Out>
class Engine {
    static_assert(
        !detail::IsStream<Out>::value,
        "name the item: Engine<In, Out> answers with Stream<Out>, Engine<In, Task<Out>> with one"
    );

public:
    using Request = In;
    using Response = Out;

    Engine() noexcept = default;  ///< none: `generate` must not be called
    template <class E>
        requires(!std::same_as<std::decay_t<E>, Engine> && AsyncEngine<std::decay_t<E>, In, Out>)
    Engine(E&& engine)
        : model_{std::make_shared<const Held<std::decay_t<E>>>(std::forward<E>(engine))} {}

    /// The answer; nothing has run before it is first awaited, except where the engine is no
    /// coroutine. It keeps the engine alive. Errors: the engine's, from the answer.
    Reply<Out> generate(Context context, In request) const {
        auto reply = model_->generate(std::move(context), std::move(request));
        if (model_.use_count() == 0) return reply;  // borrowed: kept by whoever lent it
        if constexpr (single_reply<Out>) {
            return keeping(model_, std::move(reply));
        } else {
            reply.keep_alive(model_);
            return reply;
        }
    }

    explicit operator bool() const noexcept { return model_ != nullptr; }

    /// The same engine, without a share in its life: copying it costs nothing. What is lent must
    /// outlive it and its answers.
    Engine borrowed() const noexcept {
        return Engine{std::shared_ptr<const Model>{std::shared_ptr<const Model>{}, model_.get()}};
    }
    /// The reverse, while the engine lives.
    Engine owned() const { return Engine{model_->shared_from_this()}; }

private:
    struct Model : std::enable_shared_from_this<Model> {
        Model() = default;
        Model(const Model&) = delete;
        Model& operator=(const Model&) = delete;
        virtual ~Model() = default;
        virtual Reply<Out> generate(Context context, In request) const = 0;
    };
    template <class E>
    struct Held final : Model {
        template <class From>
        explicit Held(From&& from) : engine{std::forward<From>(from)} {}
        Reply<Out> generate(Context context, In request) const override {
            if constexpr (detail::HasGenerate<E, In, Out>) {
                return engine.generate(std::move(context), std::move(request));
            } else {
                return engine(std::move(context), std::move(request));
            }
        }
        E engine;
    };
    explicit Engine(std::shared_ptr<const Model> model) noexcept : model_{std::move(model)} {}

    static Reply<Out> keeping(std::shared_ptr<const Model> model, Reply<Out> reply)
        requires single_reply<Out>
    {
        // Dropped in this order: the answer refers to the engine.
        const auto kept = std::move(model);
        auto own = std::move(reply);
        co_return co_await std::move(own);
    }

    std::shared_ptr<const Model> model_;
};

template <class In, class Out>
using UnaryEngine = Engine<In, Task<Out>>;
template <class In, class Out>
using ServerStreamingEngine = Engine<In, Out>;
template <class In, class Out>
using ClientStreamingEngine = Engine<Stream<In>, Task<Out>>;
template <class In, class Out>
using BidirectionalEngine = Engine<Stream<In>, Out>;

}  // namespace stator::inline pipeline
