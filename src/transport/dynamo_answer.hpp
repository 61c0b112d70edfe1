// DynamoAnswer: the connection on which one request of Dynamo's TCP plane is answered.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "stator/codec/payload_codec.hpp"
#include "stator/net/address.hpp"
#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/task.hpp"
#include "stator/transport/send_status.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_input.hpp"
#include "transport/dynamo_link.hpp"
#include "transport/dynamo_reader.hpp"

namespace stator::transport {

class DynamoPlane;
class DynamoServerCall;

/// A connection that has been begun, or cannot be; nothing where a name has to be resolved first.
using Dialled = std::optional<Result<std::unique_ptr<net::Stream>>>;

/// Calls home, writes handshake, prologue, items and the end, and hears the caller's stop and kill.
///
/// Shared by the call that it answers and the tasks that run it: it outlives the call until the
/// client has closed, which the call's slot need not wait for. Loop-affine. Cancelling `run` kills
/// the call with `shutdown`, and lets the client read what was written.
class DynamoAnswer final : DynamoLinkUser, public std::enable_shared_from_this<DynamoAnswer> {
public:
    struct Home {
        dynamo::ConnectionInfo info;
        net::Address address;  ///< the one in `info`
    };
    DynamoAnswer(DynamoPlane& plane, Home home, PayloadCodec codec);
    DynamoAnswer(const DynamoAnswer&) = delete;
    DynamoAnswer& operator=(const DynamoAnswer&) = delete;
    ~DynamoAnswer() override;

    /// The request is a stream, which waits there.
    void expect_input(const Home& home);
    /// Begins to connect to where addresses are numbers; after `expect_input`, before the runs.
    /// Errors: `overloaded` when this process has no descriptor left for it, or no port: nothing is
    /// to be run then.
    Result<void> dial();
    /// Until the connection has ended. Never throws.
    static Task<> run(std::shared_ptr<DynamoAnswer> self);
    /// The same for that of the request's stream. Precondition: expect_input.
    static Task<> run_input(std::shared_ptr<DynamoAnswer> self);

    // For the call.
    void serve(DynamoServerCall* call) noexcept { call_ = call; }
    SendStatus send(Bytes item, bool end, bool annotated);
    void end() noexcept;
    void fail(const Error& error) noexcept;
    void consumed(std::size_t size) noexcept;
    /// The call is no more; one without an end fails.
    void released() noexcept;
    /// The request was refused: nobody calls home.
    void discard() noexcept { close(); }

    // For the request's stream.
    void take(Bytes item);
    void input_ended() noexcept;
    void stop() noexcept;
    void kill(CancelReason reason) noexcept;
    void violated(const Error& error) noexcept;
    /// Nobody is at home, or says anything in time.
    void unreachable(const net::Address& address, const Error& why) noexcept;

    const net::Address& address() const noexcept { return home_.address; }
    bool has_input() const noexcept { return input_ != nullptr; }

private:
    struct LimitTimer : runtime::detail::Timer {
        explicit LimitTimer(DynamoAnswer& answer) noexcept;
        DynamoAnswer& answer;
    };

    std::size_t space(std::array<iovec, 2>& vectors) override { return reader_.space(vectors); }
    void received(std::size_t size) override;
    void peer_finished() noexcept override;
    void writable() noexcept override;
    void all_written() noexcept override;
    void lost(const Error& why) noexcept override;

    bool leave_at_once(net::Outgoing connection);
    Result<void> hear(const dynamo::Message& message);
    void finish() noexcept;
    void left() noexcept;
    void close() noexcept;
    void limit(Duration time) noexcept;
    void on_limit() noexcept;

    DynamoPlane& plane_;
    Loop& loop_;
    const Home home_;
    const PayloadCodec codec_;
    DynamoServerCall* call_ = nullptr;
    dynamo::MessageReader reader_;
    DynamoLink link_;
    std::optional<net::Outgoing> outgoing_;  // not connected yet
    Dialled dialled_;
    Dialled dialled_input_;
    LimitTimer timer_{*this};
    std::uint64_t seen_written_ = 0;  // when the time was last looked at
    bool stopped_ = false;
    bool ended_ = false;  // nothing more is put
    bool left_ = true;    // once ended: all of it is written, or nobody wants it
    bool peer_finished_ = false;
    std::unique_ptr<DynamoInput> input_;
};

}  // namespace stator::transport
