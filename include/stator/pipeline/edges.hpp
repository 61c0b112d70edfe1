// Sources, sinks and edges: pipelines that are put together while the program runs.
//
//     auto front = ServiceFrontend<Chat, Chunk>::make();
//     PipelineOperator<Chat, Chunk, Tokens, Delta> tokens{Preprocess{}};
//     auto model = ServiceBackend<Tokens, Delta>::make(engine);
//     front->link(tokens.forward_edge()).value();
//     tokens.forward_edge()->link(model).value();
//     model->link(tokens.backward_edge()).value();
//     tokens.backward_edge()->link(front->replies()).value();
//     Engine<Chat, Chunk> service = front->engine();
//
// Each edge is set once. Nodes own what they are linked to, and the way back ends at the frontend's
// `replies`, which own nothing: a pipeline is gone with its last handle.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "stator/base/request_id.hpp"
#include "stator/pipeline/operator.hpp"
#include "stator/runtime/stream_ops.hpp"

namespace stator::inline pipeline {

namespace detail {

Error edge_already_set();
Error no_edge();
Error id_in_use(const RequestId& id);
Error detached_receiver(const RequestId& id);
Error detached_sender(const RequestId& id);
Error no_network_edge();

}  // namespace detail

/// Where data arrives.
template <class T>
class Sink {
public:
    Sink() = default;
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;
    virtual ~Sink() = default;
    /// Ends when the data, and what it led to, has been handed on.
    virtual Task<> on_data(Context context, T data) = 0;
};

/// Where data leaves, by one edge. Thread-safe once it is linked; link before the first request.
template <class T>
class Source {
public:
    Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    virtual ~Source() = default;

    /// Errors: `already_exists` "pipeline.edge_already_set".
    Result<void> link(std::shared_ptr<Sink<T>> sink) {
        const std::lock_guard guard{lock_};
        if (sink_) return std::unexpected{detail::edge_already_set()};
        sink_ = std::move(sink);
        return {};
    }

    /// Hands `data` to whatever is linked. Errors: `invalid_request` "pipeline.no_edge".
    Task<> emit(Context context, T data) const {
        std::shared_ptr<Sink<T>> sink;
        {
            const std::lock_guard guard{lock_};
            sink = sink_;
        }
        if (!sink) throw detail::no_edge();
        co_await sink->on_data(std::move(context), std::move(data));
    }

private:
    mutable std::mutex lock_;
    std::shared_ptr<Sink<T>> sink_;
};

namespace detail {

/// Requests that have gone out by a forward edge, and what comes back for them. Thread-safe.
template <class Out>
class Replies final : public Sink<Reply<Out>> {
public:
    /// One request that waits, from before it goes out. Its id is its own while it lives.
    class Waiting {
    public:
        /// Throws `already_exists` "pipeline.id_in_use".
        Waiting(std::shared_ptr<Replies> replies, const RequestId& id)
            : replies_{std::move(replies)}, id_{id} {
            const std::lock_guard guard{replies_->lock_};
            if (!replies_->waiting_.try_emplace(id, this).second) throw id_in_use(id);
        }
        Waiting(const Waiting&) = delete;
        Waiting& operator=(const Waiting&) = delete;
        ~Waiting() {
            const std::lock_guard guard{replies_->lock_};
            replies_->waiting_.erase(id_);
        }
        /// What has come. Errors: `internal` "pipeline.detached_sender".
        Reply<Out> take() {
            const std::lock_guard guard{replies_->lock_};
            if (!reply_) throw detached_sender(id_);
            return std::move(*reply_);
        }

    private:
        friend class Replies;
        std::shared_ptr<Replies> replies_;
        RequestId id_;
        std::optional<Reply<Out>> reply_;
    };

    Task<> on_data(Context context, Reply<Out> reply) override {
        // By value: what is not wanted is dropped after the lock has been given back.
        std::optional<Reply<Out>> unwanted{std::move(reply)};
        {
            const std::lock_guard guard{lock_};
            const auto found = waiting_.find(context.id());
            if (found != waiting_.end() && !found->second->reply_) {
                found->second->reply_ = std::exchange(unwanted, std::nullopt);
            }
        }
        if (!unwanted) co_return;
        context.stop();
        throw detached_receiver(context.id());
    }

private:
    std::mutex lock_;
    std::unordered_map<RequestId, Waiting*> waiting_;
};

/// What goes out by `edge` and comes back by `replies`: an engine.
template <class In, class Out>
struct RoundTrip {
    std::shared_ptr<Source<In>> edge;
    std::shared_ptr<Replies<Out>> replies;

    Reply<Out> generate(Context context, In request) const {
        return run(edge, replies, std::move(context), std::move(request));
    }

private:
    using Item = ReplyItem<Out>;

    static Stream<Item> run(
        std::shared_ptr<Source<In>> edge,
        std::shared_ptr<Replies<Out>> replies,
        Context context,
        In request
    )
        requires(!single_reply<Out>)
    {
        return opened(
            answer(std::move(edge), std::move(replies), std::move(context), std::move(request))
        );
    }
    static Task<Item> run(
        std::shared_ptr<Source<In>> edge,
        std::shared_ptr<Replies<Out>> replies,
        Context context,
        In request
    )
        requires single_reply<Out>
    {
        auto reply =
            co_await answer(std::move(edge), std::move(replies), context, std::move(request));
        co_return co_await std::move(reply);
    }
    static Task<Reply<Out>> answer(
        std::shared_ptr<Source<In>> edge,
        std::shared_ptr<Replies<Out>> replies,
        Context context,
        In request
    ) {
        typename Replies<Out>::Waiting waiting{std::move(replies), context.id()};
        co_await edge->emit(context, std::move(request));
        co_return waiting.take();
    }
};

}  // namespace detail

/// Where requests enter: the source of the request edge and the sink of the response edge. Two
/// requests that live at the same time have different ids.
template <class In, class Out>
class ServiceFrontend final : public Source<In>,
                              public std::enable_shared_from_this<ServiceFrontend<In, Out>> {
    struct Private {};

public:
    explicit ServiceFrontend(Private) {}
    static std::shared_ptr<ServiceFrontend> make() {
        return std::make_shared<ServiceFrontend>(Private{});
    }

    /// Where the answers come back.
    std::shared_ptr<Sink<Reply<Out>>> replies() const noexcept { return replies_; }

    /// The whole pipeline. Errors, from its answers: `invalid_request` "pipeline.no_edge",
    /// `already_exists` "pipeline.id_in_use", `internal` "pipeline.detached_sender" (nothing came
    /// back) and "pipeline.detached_receiver" (something came back for nobody), and what the nodes
    /// throw.
    Engine<In, Out> engine() {
        return detail::RoundTrip<In, Out>{this->shared_from_this(), replies_};
    }

private:
    std::shared_ptr<detail::Replies<Out>> replies_ = std::make_shared<detail::Replies<Out>>();
};

/// Changes what passes, in one direction.
template <class A, class B, class F>
class PipelineNode final : public Sink<A>, public Source<B> {
public:
    explicit PipelineNode(F function) : function_{std::move(function)} {}
    Task<> on_data(Context context, A data) override {
        co_await this->emit(std::move(context), function_(std::move(data)));
    }

private:
    F function_;
};

template <class A, class B, class F>
std::shared_ptr<PipelineNode<A, B, F>> pipeline_node(F function) {
    return std::make_shared<PipelineNode<A, B, F>>(std::move(function));
}

/// Where an engine answers: the sink of the request edge and the source of the response edge.
template <class In, class Out>
class ServiceBackend final : public Sink<In>, public Source<Reply<Out>> {
public:
    explicit ServiceBackend(Engine<In, Out> engine) : engine_{std::move(engine)} {}
    static std::shared_ptr<ServiceBackend> make(Engine<In, Out> engine) {
        return std::make_shared<ServiceBackend>(std::move(engine));
    }
    Task<> on_data(Context context, In request) override {
        auto reply = engine_.generate(context, std::move(request));
        co_await this->emit(std::move(context), std::move(reply));
    }

private:
    Engine<In, Out> engine_;
};

/// A backend whose engine, usually another process, is attached later.
template <class In, class Out>
class SegmentSink final : public Sink<In>, public Source<Reply<Out>> {
public:
    /// Errors: `already_exists` "pipeline.edge_already_set".
    Result<void> attach(Engine<In, Out> engine) {
        const std::lock_guard guard{lock_};
        if (engine_) return std::unexpected{detail::edge_already_set()};
        engine_ = std::move(engine);
        return {};
    }
    /// Errors: `unavailable` "pipeline.no_network_edge" before one is attached.
    Task<> on_data(Context context, In request) override {
        Engine<In, Out> engine;
        {
            const std::lock_guard guard{lock_};
            engine = engine_;
        }
        if (!engine) throw detail::no_network_edge();
        auto reply = engine.generate(context, std::move(request));
        co_await this->emit(std::move(context), std::move(reply));
    }

private:
    std::mutex lock_;
    Engine<In, Out> engine_;
};

/// Where a segment that serves another process's requests begins.
template <class In, class Out>
using SegmentSource = ServiceFrontend<In, Out>;

/// An Operator as two nodes: one of the request edge, one of the response edge.
template <class UpIn, class UpOut, class DownIn, class DownOut>
class PipelineOperator {
    struct Parts {
        std::unique_ptr<Operator<UpIn, UpOut, DownIn, DownOut>> op;
        std::shared_ptr<detail::Replies<DownOut>> answers =
            std::make_shared<detail::Replies<DownOut>>();
        Source<Reply<UpOut>> up;
    };
    using PartsPtr = std::shared_ptr<Parts>;

public:
    class ForwardEdge final : public Sink<UpIn>,
                              public Source<DownIn>,
                              public std::enable_shared_from_this<ForwardEdge> {
    public:
        explicit ForwardEdge(PartsPtr parts) noexcept : parts_{std::move(parts)} {}
        Task<> on_data(Context context, UpIn request) override {
            const auto parts = parts_;
            auto reply = kept(
                parts,
                parts->op->generate(
                    context,
                    std::move(request),
                    detail::RoundTrip<DownIn, DownOut>{this->shared_from_this(), parts->answers}
                )
            );
            co_await parts->up.emit(std::move(context), std::move(reply));
        }

    private:
        // The answer refers to the operator.
        static Stream<ReplyItem<UpOut>> kept(PartsPtr parts, Stream<ReplyItem<UpOut>> reply) {
            reply.keep_alive(std::move(parts));
            return reply;
        }
        static Task<ReplyItem<UpOut>> kept(PartsPtr parts, Task<ReplyItem<UpOut>> reply) {
            const auto own = std::move(parts);
            auto task = std::move(reply);
            co_return co_await std::move(task);
        }

        PartsPtr parts_;
    };

    class BackwardEdge final : public Sink<Reply<DownOut>> {
    public:
        explicit BackwardEdge(PartsPtr parts) noexcept : parts_{std::move(parts)} {}
        Task<> on_data(Context context, Reply<DownOut> reply) override {
            return parts_->answers->on_data(std::move(context), std::move(reply));
        }
        /// Errors: `already_exists` "pipeline.edge_already_set".
        Result<void> link(std::shared_ptr<Sink<Reply<UpOut>>> sink) {
            return parts_->up.link(std::move(sink));
        }

    private:
        PartsPtr parts_;
    };

    template <class Op>
    explicit PipelineOperator(Op op) {
        auto parts = std::make_shared<Parts>();
        parts->op = std::make_unique<Op>(std::move(op));
        forward_ = std::make_shared<ForwardEdge>(parts);
        backward_ = std::make_shared<BackwardEdge>(std::move(parts));
    }

    const std::shared_ptr<ForwardEdge>& forward_edge() const noexcept { return forward_; }
    const std::shared_ptr<BackwardEdge>& backward_edge() const noexcept { return backward_; }

private:
    std::shared_ptr<ForwardEdge> forward_;
    std::shared_ptr<BackwardEdge> backward_;
};

}  // namespace stator::inline pipeline
