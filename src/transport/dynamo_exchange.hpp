// What one call over Dynamo's TCP planes consists of, behind its DynamoCall.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "stator/runtime/loop.hpp"
#include "stator/transport/dynamo_call.hpp"
#include "stator/transport/request_carrier.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_input_stream.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_link.hpp"
#include "transport/dynamo_reader.hpp"

namespace stator::transport {

/// Goes through these phases, each with a bound of its own but the fourth:
///
///     asked    the request is sent, nothing was heard
///     accepted acknowledged
///     called   the worker has connected; its prologue is missing. (Acknowledgements may come as
///              late as they like: nothing hangs on them from here.)
///     answered items come
///     ended    the call is over; the socket is kept for the worker's last word
///
/// Shared by its call, until that is dropped, and the tasks that run its sockets. Loop-affine.
class DynamoExchange final : public DynamoLinkUser,
                             public HomeCall,
                             public UnansweredRequest,
                             public DynamoInputStream::Owner,
                             public std::enable_shared_from_this<DynamoExchange>,
                             runtime::detail::Timer {
public:
    DynamoExchange(
        DynamoCall& call,
        std::shared_ptr<RequestCarrier> carrier,
        std::shared_ptr<CallHomeServer> home,
        std::string_view path,
        PayloadCodec codec
    );
    ~DynamoExchange() override;

    /// Items are handed out as annotated objects. Before `open`.
    void expect_annotated() noexcept { annotated_ = true; }
    Result<void> open(const CallHead& head, const Bytes* request);
    SendStatus send(Bytes item);
    void half_close() noexcept;
    void stop() noexcept;
    void kill() noexcept;
    void consumed(std::size_t size);
    /// The call is gone, over or not.
    void drop() noexcept;
    void instance_gone() noexcept;
    Task<> uncongested() { return carrier_->uncongested(); }

private:
    enum class Phase : std::uint8_t { closed, asked, accepted, called, answered, ended };

    // What the worker does.
    void on_ack(const std::string& text) noexcept override;
    void on_lost(const Error& why) noexcept override;
    void on_home(net::Accepted connection, Bytes rest) noexcept override;
    std::size_t space(std::array<iovec, 2>& vectors) override { return reader_.space(vectors); }
    void received(std::size_t size) override;
    void rested() override;
    void cancelled() noexcept override;
    void peer_finished() noexcept override;
    void lost(const Error& why) noexcept override;
    // What its input stream tells.
    void input_writable() noexcept override;
    std::shared_ptr<void> keep() override { return shared_from_this(); }
    TaskScope& tasks() override { return carrier_->answers(); }

    static Task<> run(std::shared_ptr<DynamoExchange> self, std::unique_ptr<net::Stream> stream);
    void read_on();
    void take(dynamo::Message message);
    void take_prologue(const dynamo::Message& message);
    void take_word(const dynamo::Message& message);
    void take_item(dynamo::Message message);
    void deliver(Bytes value, Reservation booked, bool last);
    void stream_over();

    Result<Bytes> body_of(const Bytes& request) const;
    Result<void> send_request(const CallHead& head, Bytes body);
    dynamo::ConnectionInfo where_to_call(
        const CallHead& head, dynamo::StreamType type, const CallHomeServer::Subject& subject
    ) const;
    void wait_at_most(Duration bound);
    void on_time() noexcept;
    void finish(bool kill) noexcept;
    void end_well();
    void fail(const Error& error, CallFate fate) noexcept;
    void violated(Error error);
    void hang_up() noexcept;

    DynamoCall* call_;
    Loop& loop_;
    const std::shared_ptr<RequestCarrier> carrier_;
    const std::shared_ptr<CallHomeServer> home_;
    std::string_view path_;  // while opening
    const PayloadCodec codec_;
    PayloadCodec callers_codec_ = PayloadCodec::msgpack;
    Phase phase_ = Phase::closed;
    bool stopped_ = false;
    bool annotated_ = false;  // items are handed out with what is said about them
    bool one_item_ = false;   // unary: its item is handed out with the end
    bool final_ = false;      // the final frame has come
    bool cut_off_ = false;    // nothing more will come
    bool last_word_ = false;  // the sentinel has come
    bool reading_ = false;    // inside of read_on
    std::optional<CallHomeServer::Subject> subject_;
    std::unique_ptr<DynamoInputStream> input_;
    std::optional<Bytes> held_;
    std::optional<Error> cut_;  // how it was cut off
    std::size_t untaken_ = 0;
    dynamo::BookedMessages booked_;
    TimePoint due_{};
    dynamo::MessageReader reader_;
    DynamoLink link_;
};

}  // namespace stator::transport
