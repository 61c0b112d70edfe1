// The serve side of Dynamo's TCP planes between hostile clients and lively handlers, both driven by
// the input: request connections, and the connections by which answers are called home.
//
// Checked: it never crashes or hangs; what it writes are acknowledgements, and answers as the
// protocol has them; what it holds stays bounded; when the clients have gone nothing is left: no
// call, no answer, no socket, no byte of the budget.
#include <memory>
#include <string>
#include <vector>

#include "dynamo_scene.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_plane.hpp"
#include "transport/dynamo_reader.hpp"
#include "transport/dynamo_stream.hpp"
#include "transport/dynamo_writer.hpp"

namespace {

using namespace stator;
using namespace stator::transport;
using namespace std::chrono_literals;
using fuzz::got;
using fuzz::Input;
using fuzz::require;

constexpr std::uint64_t budget_size = 1U << 20U;

/// What a handler does is the first byte of the path's last letter.
Task<> handle(ServerCall* call, char how) {
    const auto send = [](ServerCall* to, Bytes item) -> Task<bool> {
        if (!to->can_send()) co_await to->writable();
        co_return to->send(std::move(item), false);
    };
    switch (how) {
        case 'e':  // echo, slowly
            while (auto item = co_await call->next()) {
                co_await sleep_for(1ms);
                if (!co_await send(call, std::move(*item))) co_return;
            }
            break;
        case 'b':  // much of it
            for (int i = 0; i < 16; ++i) {
                if (!co_await send(call, Bytes::copy_of(std::string(20'000, '7')))) co_return;
            }
            break;
        case 'f':
            (void)co_await call->next();
            throw Error{ErrorCode::not_found, "fuzz.error", "made up"};
        case 'w':
            co_await sleep_for(1h);
            break;
        default:
            co_return;  // without an end
    }
    call->end();
}

class Dispatcher final : public CallDispatcher {
public:
    Result<Serving> dispatch(std::unique_ptr<ServerCall>& call, const CallHead& head) override {
        const char how = head.path.empty() ? ' ' : head.path.back();
        if (how == 'x') return fail(ErrorCode::overloaded, "fuzz.full", "full");
        if (how == 'd') return fail(ErrorCode::draining, "fuzz.draining", "ending");
        if (how == 'n') return fail(ErrorCode::not_found, "fuzz.nobody", "nobody");
        if (how == 's') return fail(ErrorCode::invalid_request, "fuzz.shape", "another shape");
        return Serving{run(this, std::move(call), how)};
    }
    int running = 0;

private:
    static Task<> run(Dispatcher* self, std::unique_ptr<ServerCall> call, char how) {
        ++self->running;
        const auto ended = co_await as_result(handle(call.get(), how));
        if (!ended) call->fail(ended.error());
        --self->running;
    }
};

/// A connection that was dialled, and what was seen on it.
struct Home {
    fuzz::FarEnd far;
    dynamo::MessageReader reader{{.header = 128U << 10U, .body = 64U << 20U}};
    int messages = 0;
    bool input = false;
    bool ended = false;

    /// All that is there must be what the protocol has.
    void read(std::size_t most) {
        const auto bytes = far.read(most);
        reader.feed(fuzz::bytes_of(bytes));
        for (;;) {
            auto message = reader.next();
            require(message.has_value());
            if (!*message) return;
            take(got(*message));
        }
    }

private:
    void take(const dynamo::Message& message) {
        require(!ended);
        if (messages++ == 0) {
            const auto handshake = dynamo::read_handshake(message.header);
            require(handshake.has_value());
            input = handshake->stream_type == dynamo::StreamType::request;
            return;
        }
        require(!input);  // nothing but the handshake is said there
        if (messages == 2) {
            const auto prologue = dynamo::read_prologue(message.header);
            return require(prologue && !prologue->error());
        }
        if (message.header.empty()) return require(!message.body.empty());
        const auto word = dynamo::read_word(message.header);
        require(word && *word == dynamo::Word::sentinel);
        ended = true;
    }
};

struct Client {
    fuzz::FarEnd far;
    dynamo::AckReader acks;

    void read(std::size_t most) {
        const auto bytes = far.read(most);
        acks.feed(fuzz::bytes_of(bytes));
        for (;;) {
            const auto ack = acks.next();
            require(ack.has_value());
            if (!*ack) return;
            const auto& text = got(*ack);
            require(
                text.empty() || text.starts_with("Server ") || text.starts_with("Read error: ")
            );
        }
    }
};

class Scene {
public:
    explicit Scene(Input& input) : input_{input} {
        DynamoPlane::Options options;
        options.config.max_request = 512U << 10U;
        options.config.max_item = 512U << 10U;
        options.config.input_window = 16U << 10U;
        options.config.most_unwritten = 64U << 10U;
        options.config.max_answers = 6;
        options.config.process = budget_;
        options.dispatcher = &dispatcher_;
        options.dial = [this](const net::Address& address) { return dial(address); };
        plane_ = std::make_unique<DynamoPlane>(test_.loop(), std::move(options));
    }

    void run() {
        connect();
        while (!input_.empty()) {
            act();
            test_.settle();
            check();
        }
        finish();
    }

private:
    /// Some ports are special: nobody is there, or nothing is left to reach them with.
    Result<std::unique_ptr<net::Stream>> dial(const net::Address& address) {
        if (address.port == 2) return fail(ErrorCode::unavailable, "net.cannot_connect", "refused");
        if (address.port == 3) return fail(ErrorCode::overloaded, "net.shortage", "none left");
        auto pair = fuzz::connected();
        homes_.push_back(std::make_unique<Home>());
        homes_.back()->far = std::move(pair.far);
        return std::move(pair.near).attach();
    }

    void connect() {
        auto pair = fuzz::connected();
        clients_.push_back({std::move(pair.far), {}});
        const auto serve = [](DynamoPlane* plane, net::Accepted near) -> Task<> {
            co_await plane->serve(std::move(near).attach(), Bytes{});
        };
        connections_.spawn_on(test_.loop(), serve(plane_.get(), std::move(pair.near)));
    }

    Client& client() { return clients_[input_.byte() % clients_.size()]; }
    Home* home() { return homes_.empty() ? nullptr : homes_[input_.byte() % homes_.size()].get(); }

    void act() {
        switch (input_.byte() % 12) {
            case 0:
                return client().far.write(input_.bytes(input_.byte()));
            case 1:
            case 2:
                return client().far.write(good_frame());
            case 3:
                return client().far.write(frame_around(input_.bytes(input_.byte())));
            case 4:
                return huge_frame();
            case 5:
                return say_home();
            case 6:
                return say_words();
            case 7:
                if (auto* one = home()) one->read(input_.pair());
                return;
            case 8:
                return client().read(input_.pair());
            case 9:
                return test_.advance(std::chrono::milliseconds{input_.pair() / 4});
            case 10:
                return end_something();
            default:
                if (clients_.size() < 4) connect();
        }
    }

    static std::string put_frame(std::string_view path, std::string_view control, Bytes body) {
        return fuzz::bytes_by([&](dynamo::Output& out) {
            (void)dynamo::put_request(out, path, {}, control, std::move(body));
        });
    }
    std::string path() {
        constexpr std::string_view letters = "ebfw xdns";
        return std::string{"7b/a/b/"} + letters[input_.byte() % letters.size()];
    }
    std::string good_frame() {
        dynamo::ControlHeader control;
        const auto kind = input_.byte();
        control.id = "11111111-2222-4333-8444-555555555555";
        control.many_in = kind % 2 == 1;
        control.codec = kind % 4 < 2 ? PayloadCodec::json : PayloadCodec::msgpack;
        const auto address = std::string{kind % 8 == 7 ? "name:" : "127.0.0.1:"} +
                             std::to_string(1 + (kind / 16) % 4);
        control.connection = {.address = address, .subject = "s", .context = control.id};
        if (control.many_in) {
            control.request_stream = dynamo::ConnectionInfo{
                .address = address,
                .subject = "i",
                .context = control.id,
                .stream_type = dynamo::StreamType::request
            };
        }
        const auto text = dynamo::write_control(control);
        require(text.has_value());
        auto body = Bytes::copy_of(std::string(control.many_in ? 0 : input_.pair() * 2U, '7'));
        return put_frame(path(), text->view(), std::move(body));
    }
    std::string frame_around(std::string control) {
        return put_frame(path(), control, Bytes::of_static("7"));
    }
    /// The head of one, and a part of it.
    void huge_frame() {
        auto& to = client();
        auto frame = put_frame("7b/a/b/e", "{}", Bytes::copy_of(std::string(300U << 10U, '7')));
        to.far.write(frame.substr(0, input_.pair() * 6U));
    }
    void say_home() {
        auto* const one = home();
        if (one == nullptr) return;
        switch (input_.byte() % 3) {
            case 0:
                return one->far.write(input_.bytes(input_.byte()));
            case 1:
                return one->far.write(message(input_.bytes(input_.byte() % 80), ""));
            default:
                return one->far.write(message("", std::string(input_.pair() * 2U, 'i')));
        }
    }
    static std::string message(std::string_view header, std::string_view body) {
        return fuzz::bytes_by([&](dynamo::Output& out) {
            dynamo::put_message(out, header, Bytes::copy_of(body));
        });
    }
    void say_words() {
        auto* const one = home();
        if (one == nullptr) return;
        constexpr std::array words{R"("stop")", R"("kill")", R"("sentinel")", R"("other")"};
        one->far.write(message(words[input_.byte() % words.size()], ""));
    }
    void end_something() {
        const auto how = input_.byte();
        auto* const one = home();
        auto& far = how % 2 == 0 || one == nullptr ? client().far : one->far;
        if (how % 4 < 2) return far.close();
        far.finish_writing();
    }

    void check() {
        require(plane_->answers() <= 6);
        // Each window, and an item beyond it.
        require(budget_->reserved() <= budget_->half());
        require(budget_->windows() <= 6 * (64U << 10U) + 24 * (300U << 10U));
    }
    void finish() {
        for (auto& one : homes_) one->read(std::string::npos);
        for (auto& one : clients_) one.read(std::string::npos);
        for (auto& one : homes_) one->far.close();
        for (auto& one : clients_) one.far.close();
        test_.settle();
        for (int i = 0; i < 5; ++i) test_.advance(20s);
        const auto end = [](Scene* self) -> Task<> {
            co_await self->connections_.join();
            co_await self->plane_->close();
        };
        test_.run(end(this));
        require(dispatcher_.running == 0);
        require(plane_->answers() == 0);
        plane_.reset();
        require(budget_->reserved() == 0);
        require(budget_->windows() == 0);
    }

    Input& input_;
    fuzz::TestLoop test_;
    Dispatcher dispatcher_;
    std::shared_ptr<BufferBudget> budget_ = std::make_shared<BufferBudget>(budget_size);
    std::unique_ptr<DynamoPlane> plane_;
    std::vector<Client> clients_;
    std::vector<std::unique_ptr<Home>> homes_;
    TaskScope connections_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static stator::fuzz::Quiet quiet;
    Input input{data, size};
    Scene{input}.run();
    return 0;
}
