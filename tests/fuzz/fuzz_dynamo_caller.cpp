// The caller's side of Dynamo's TCP planes between hostile workers and lively callers, both driven
// by the input: a request connection, and the port that workers call home to.
//
// Checked: it never crashes or hangs; what it writes are request frames, items and words; a call
// ends once and tells nothing afterwards; when the worker has gone and the calls are dropped
// nothing is left: no subject, no answer, no socket, no byte of the budget.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dynamo_scene.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/transport/dynamo_call.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_item.hpp"
#include "transport/dynamo_reader.hpp"
#include "transport/dynamo_request_connection.hpp"
#include "transport/dynamo_stream.hpp"
#include "transport/dynamo_writer.hpp"

namespace {

using namespace stator;
using namespace stator::transport;
using namespace std::chrono_literals;
using fuzz::got;
using fuzz::Input;
using fuzz::require;

constexpr std::size_t most_calls = 6;

/// Binding takes a thread of the resolver, so there is one for all inputs, which must leave nothing
/// in it.
struct World {
    World() {
        const auto start = [](World* self) -> Task<> {
            CallHomeServer::Options options;
            options.loops = {&self->test.loop()};
            options.max_waiting = 4;
            self->home = co_await CallHomeServer::start(std::move(options));
        };
        TaskScope scope;
        scope.spawn_on(test.loop(), start(this));
        while (!home) test.settle();
        test.settle();
    }
    fuzz::Quiet quiet;
    fuzz::TestLoop test;
    std::shared_ptr<CallHomeServer> home;
};

struct Call final : CallWriter {
    std::unique_ptr<DynamoCall> call;
    bool open = false;
    bool many_in = false;
    bool input_ended = false;

    void on_writable() noexcept override { require(!input_ended); }
    void on_ended() noexcept override {
        require(!input_ended);
        input_ended = true;
    }
    void take() {
        const bool over = call->finished();
        const auto item = call->try_next();
        require(!over || !item);
        if (!item) return;
        // Reads every byte: a slice that points astray is seen by the sanitizer.
        for (const auto byte : item->span()) checksum += std::to_integer<unsigned>(byte);
    }
    unsigned checksum = 0;
};

class Scene {
public:
    Scene(World& world, Input& input) : world_{world}, test_{world.test}, input_{input} {
        config_.max_item = 1U << 20U;
        config_.most_untaken = 64U << 10U;
        config_.most_unsent = 64U << 10U;
        config_.process = budget_;
        answers_ = std::make_unique<TaskScope>();
        auto pair = fuzz::connected();
        far_ = std::move(pair.far);
        connection_ = std::make_shared<DynamoRequestConnection>("127.0.0.1:1", config_, *answers_);
        const auto keep = [](std::shared_ptr<DynamoRequestConnection> kept,
                             net::Accepted near) -> Task<> {
            const auto own = std::move(kept);
            co_await own->run(std::move(near).attach());
            own->fail_silent(Error{ErrorCode::disconnected, "fuzz.gone", "gone"});
        };
        connections_.spawn_on(test_.loop(), keep(connection_, std::move(pair.near)));
        test_.settle();
    }

    void run() {
        while (!input_.empty()) {
            on_loop([this] { act(); });
            if (time_ > Duration::zero()) test_.advance(std::exchange(time_, {}));
            require(budget_->reserved() <= budget_->half());
        }
        finish();
    }

private:
    void on_loop(std::function<void()> action) {
        test_.loop().post(std::move(action));
        test_.settle();
    }
    Call* some_call() {
        return calls_.empty() ? nullptr : calls_[input_.byte() % calls_.size()].get();
    }
    fuzz::FarEnd* some_home() {
        return homes_.empty() ? nullptr : &homes_[input_.byte() % homes_.size()];
    }

    void act() {
        switch (input_.byte() % 14) {
            case 0:
                return open();
            case 1:
            case 2:
                return call_acts();
            case 3:
                return far_.write(input_.bytes(input_.byte()));
            case 4:
                return acknowledge();
            case 5:
            case 6:
                return call_home();
            case 7:
            case 8:
                return answer();
            case 9:
                if (auto* home = some_home()) home->write(input_.bytes(input_.byte()));
                return;
            case 10:
                return read_requests();
            case 11:
                if (auto* home = some_home()) (void)home->read(input_.pair() * 4U);
                return;
            case 12:
                time_ += std::chrono::milliseconds{input_.pair()};
                return;
            default:
                return end_something();
        }
    }

    void open() {
        if (calls_.size() >= most_calls) return;
        auto call = std::make_unique<Call>();
        const auto kind = input_.byte();
        call->call = std::make_unique<DynamoCall>(
            connection_,
            world_.home,
            "1f/a/b/c",
            kind % 8 < 4 ? PayloadCodec::json : PayloadCodec::msgpack
        );
        CallHead head;
        head.path = "a/b/c";
        head.request = RequestId{1, 1};
        head.shape = static_cast<CallShape>(kind % 4);
        head.codec = static_cast<std::uint8_t>(PayloadCodec::json);
        call->many_in = !one_request(head.shape);
        const auto opened = call->many_in
                                ? call->call->open(head, *call)
                                : call->call->open(head, Bytes::copy_of(number(input_.pair())));
        call->open = opened.has_value();
        if (call->open) calls_.push_back(std::move(call));
    }
    static std::string number(std::size_t size) { return '"' + std::string(size, '7') + '"'; }

    void call_acts() {
        auto* const call = some_call();
        if (call == nullptr) return;
        switch (input_.byte() % 8) {
            case 0:
                return call->call->stop(CancelReason::requested);
            case 1:
                return call->call->abort(
                    CancelReason::requested, Error{ErrorCode::cancelled, "fuzz.abort", "enough"}
                );
            case 2:
                return call->call->instance_gone();
            case 3:
                if (call->many_in && call->call->can_send())
                    (void)call->call->send(Bytes::copy_of(number(input_.pair())));
                return;
            case 4:
                if (call->many_in) call->call->half_close();
                return;
            case 5:
                std::erase_if(calls_, [&](const auto& one) { return one.get() == call; });
                return;
            default:
                return call->take();
        }
    }

    void acknowledge() {
        const auto text = input_.byte() % 3 == 0 ? input_.bytes(input_.byte()) : std::string{};
        far_.write(fuzz::bytes_by([&](dynamo::Output& out) { dynamo::put_ack(out, text); }));
    }

    /// What the calls have said so far, all of which must be frames.
    void read_requests() {
        const auto bytes = far_.read_all();
        requests_.feed(fuzz::bytes_of(bytes));
        for (;;) {
            const auto frame = requests_.next();
            require(frame.has_value());
            if (!*frame) return;
            const auto message = dynamo::split_message(got(*frame).payload);
            require(message.has_value());
            const auto control = dynamo::read_control(message->header);
            require(control.has_value());
            subjects_.push_back(control->connection.subject);
            if (control->request_stream) subjects_.push_back(got(control->request_stream).subject);
        }
    }

    void call_home() {
        read_requests();
        const auto kind = input_.byte();
        auto pair = fuzz::connected();
        const auto type =
            kind % 4 == 0 ? dynamo::StreamType::request : dynamo::StreamType::response;
        auto text = fuzz::bytes_by([&](dynamo::Output& out) {
            dynamo::put_handshake(out, subject(kind), type);
            if (kind % 8 >= 2) dynamo::put_prologue(out);
        });
        if (kind % 16 == 15) text = input_.bytes(input_.byte());
        pair.far.write(text);
        world_.home->admit(std::move(pair.near));
        homes_.push_back(std::move(pair.far));
    }
    std::string subject(unsigned kind) {
        if (subjects_.empty() || kind % 32 == 31) return RequestId::random().to_string();
        return subjects_[input_.byte() % subjects_.size()];
    }

    void answer() {
        auto* const home = some_home();
        if (home == nullptr) return;
        const auto kind = input_.byte();
        const auto codec = kind % 2 == 0 ? PayloadCodec::json : PayloadCodec::msgpack;
        home->write(fuzz::bytes_by([&](dynamo::Output& out) {
            switch (kind / 2 % 9) {
                case 0:
                    return dynamo::put_prologue(out);
                case 1:
                case 2:
                    return dynamo::put_item(out, codec, item(codec), kind >= 128);
                case 3:
                    return dynamo::put_final(out, codec);
                case 4:
                    return dynamo::put_word(out, static_cast<dynamo::Word>(kind / 32 % 3));
                case 5:
                    return dynamo::put_failed_prologue(
                        out, Error{ErrorCode::overloaded, "fuzz.full", "full"}
                    );
                case 6:
                    return dynamo::put_message(out, input_.bytes(input_.byte() % 80), {});
                case 7:
                    return dynamo::put_message(
                        out, {}, Bytes::copy_of(input_.bytes(input_.byte()))
                    );
                default:
                    return dynamo::put_message(
                        out,
                        {},
                        dynamo::write_error_item(
                            codec, Error{ErrorCode::not_found, "fuzz.error", "made up"}
                        )
                    );
            }
        }));
    }
    Bytes item(PayloadCodec codec) {
        if (codec == PayloadCodec::msgpack) return Bytes::of_static("\xa2hi");
        return Bytes::copy_of(number(input_.pair() * 4U));
    }

    void end_something() {
        const auto kind = input_.byte();
        if (kind % 8 == 0) return far_.close();
        if (auto* const home = some_home()) {
            if (kind % 2 == 0) return home->close();
            home->finish_writing();
        }
    }

    void finish() {
        read_requests();
        far_.close();
        for (auto& home : homes_) home.close();
        test_.settle();
        on_loop([this] {
            for (const auto& call : calls_) {
                while (call->call->try_next()) {
                }
            }
            calls_.clear();
        });
        for (int i = 0; i < 5; ++i) test_.advance(20s);
        const auto end = [](Scene* self) -> Task<> {
            self->connection_->close();
            co_await self->connections_.join();
            co_await self->answers_->join();
            require(self->world_.home->expected() == 0);
            require(self->world_.home->waiting() == 0);
        };
        test_.run(end(this));
        connection_.reset();
        require(budget_->reserved() == 0);
        require(budget_->windows() == 0);
    }

    World& world_;
    fuzz::TestLoop& test_;
    Input& input_;
    DynamoCallConfig config_;
    std::shared_ptr<BufferBudget> budget_ = std::make_shared<BufferBudget>(4U << 20U);
    std::unique_ptr<TaskScope> answers_;
    TaskScope connections_;
    std::shared_ptr<DynamoRequestConnection> connection_;
    fuzz::FarEnd far_;
    dynamo::RequestReader requests_{64U << 20U};
    std::vector<std::string> subjects_;
    std::vector<fuzz::FarEnd> homes_;
    std::vector<std::unique_ptr<Call>> calls_;
    Duration time_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static World& world = *new World;  // what accepts in it never ends
    Input input{data, size};
    Scene{world, input}.run();
    return 0;
}
