#include "stator/discovery/instance.hpp"

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

namespace stator::discovery {
namespace {

// Written by Dynamo 1.6.1.
constexpr std::string_view golden_key = "v1/instances/my-ns/my_comp/gen_er-ate/92e42ca7e33730ff";
constexpr std::string_view golden_record =
    R"({"type":"Endpoint","component":"my_comp","endpoint":"gen_er-ate","namespace":"my-ns",)"
    R"("instance_id":10584634123810713855,"transport":{"tcp":"127.0.0.9:45405/92e42ca7e33730ff/my-ns/)"
    R"(my_comp/gen_er-ate"},"device_type":"cuda","request_plane_codec":"msgpack"})";

Instance golden_instance() {
    return Instance{
        .endpoint = {"my-ns", "my_comp", "gen_er-ate"},
        .id = InstanceId{10584634123810713855U},
        .transport =
            {TransportKind::tcp, "127.0.0.9:45405/92e42ca7e33730ff/my-ns/my_comp/gen_er-ate"},
        .device_type = DeviceType::cuda,
        .request_plane_codec = PayloadCodec::msgpack,
        .mux = std::nullopt,
    };
}

Instance sample() {
    return Instance{
        .endpoint = {"ns", "comp", "ep"},
        .id = InstanceId{0x1a2b},
        .transport = {TransportKind::tcp, "127.0.0.1:4000/1a2b/ns/comp/ep"},
        .device_type = std::nullopt,
        .request_plane_codec = std::nullopt,
        .mux = MuxAddress{.address = "127.0.0.1:4000"},
    };
}

const std::string sample_key = "v1/instances/ns/comp/ep/1a2b";

/// A record for `sample_key` with other fields behind the required ones.
std::string record_with(const std::string& rest) {
    return R"({"type":"Endpoint","component":"comp","endpoint":"ep","namespace":"ns","instance_id":6699)" +
           rest + "}";
}
const std::string tcp = R"(,"transport":{"tcp":"127.0.0.1:4000/1a2b/ns/comp/ep"})";

TEST(Instance, IsWrittenAsTheOriginalWritesIt) {
    const auto record = to_record(golden_instance());
    ASSERT_TRUE(record);
    EXPECT_EQ(*record, golden_record);
    EXPECT_EQ(record->size(), 253U);
    EXPECT_EQ(golden_instance().key(), golden_key);
}

TEST(Instance, IsReadAsTheOriginalWritesIt) {
    const auto instance = from_record(golden_key, golden_record);
    ASSERT_TRUE(instance) << instance.error().what();
    EXPECT_EQ(*instance, golden_instance());
}

TEST(Instance, AdvertisesTheMuxAtTheTop) {
    const auto record = to_record(sample());
    ASSERT_TRUE(record);
    EXPECT_EQ(
        *record,
        R"({"type":"Endpoint","component":"comp","endpoint":"ep","namespace":"ns","instance_id":6699,)"
        R"("transport":{"tcp":"127.0.0.1:4000/1a2b/ns/comp/ep"},)"
        R"("x_stator":{"mux":"127.0.0.1:4000","versions":[1,1],"tls":false}})"
    );
    EXPECT_EQ(from_record(sample_key, *record).value(), sample());
    auto draining = sample();
    draining.mux->draining = true;
    draining.mux->tls = true;
    draining.mux->highest_version = 3;
    const auto text = to_record(draining).value();
    EXPECT_NE(
        text.find(R"({"mux":"127.0.0.1:4000","versions":[1,3],"tls":true,"draining":true})"),
        std::string::npos
    );
    EXPECT_EQ(from_record(sample_key, text).value(), draining);
    EXPECT_TRUE(draining.draining());
}

TEST(Instance, NamesTheProcessThatWroteIt) {
    auto written = sample();
    written.mux->epoch = 0xfedcba9876543210;
    const auto text = to_record(written).value();
    EXPECT_NE(text.find(R"("tls":false,"epoch":"fedcba9876543210"})"), std::string::npos) << text;
    EXPECT_EQ(from_record(sample_key, text).value(), written);
    // What is none is no epoch, and nothing else.
    for (const std::string other : {R"("")", R"("fedcba98765432100")", R"("x")", "12", "null"}) {
        auto changed = text;
        changed.replace(changed.find(R"("fedcba9876543210")"), 18, other);
        EXPECT_EQ(from_record(sample_key, changed).value(), sample()) << changed;
    }
}

TEST(Instance, KeepsANestedNamespaceInOnePart) {
    auto nested = sample();
    nested.endpoint.namespace_ = "prod.blue";
    EXPECT_EQ(nested.key(), "v1/instances/prod.blue/comp/ep/1a2b");
    ASSERT_TRUE(nested.check());
    EXPECT_EQ(from_record(nested.key(), to_record(nested).value()).value(), nested);
    EXPECT_EQ(instances_prefix(nested.endpoint), "v1/instances/prod.blue/comp/ep/");
}

struct Accepted {
    std::string name;
    std::string record;
};

class UnusualRecords : public testing::TestWithParam<Accepted> {};

/// What real clients accept, we accept.
INSTANTIATE_TEST_SUITE_P(
    Accepted,
    UnusualRecords,
    testing::Values(
        Accepted{"extra_object", record_with(tcp + R"(,"x_other":{"a":[1,{"b":null}],"c":true})")},
        Accepted{"extra_scalar", record_with(tcp + R"(,"extra":-1.5e3)")},
        Accepted{"null_device", record_with(tcp + R"(,"device_type":null)")},
        Accepted{"null_codec", record_with(tcp + R"(,"request_plane_codec":null)")},
        Accepted{"scheme", record_with(R"(,"transport":{"tcp":"tcp://127.0.0.1:4000/x"})")},
        Accepted{"any_path", record_with(R"(,"transport":{"tcp":"127.0.0.1:4000/any thing"})")},
        Accepted{"host_name", record_with(R"(,"transport":{"tcp":"host.example:4000/x"})")},
        Accepted{"nats", record_with(R"(,"transport":{"nats_tcp":"ns_comp.ep-1a2b"})")},
        Accepted{
            "pretty_and_reordered",
            "\n{ \"transport\" : { \"tcp\" : \"1.2.3.4:5/x\" } ,\n\t\"instance_id\" : 6699,"
            "\"namespace\":\"ns\",\"endpoint\":\"ep\",\"component\":\"comp\",\"type\":\"Endpoint\"}"
            "\n"
        },
        Accepted{"x_stator_text", record_with(tcp + R"(,"x_stator":"later")")},
        Accepted{
            "x_stator_without_address", record_with(tcp + R"(,"x_stator":{"versions":[1,1]})")
        },
        Accepted{
            "x_stator_bad_range",
            record_with(tcp + R"(,"x_stator":{"mux":"1.2.3.4:5","versions":[2,1]})")
        },
        Accepted{
            "x_stator_odd_versions",
            record_with(tcp + R"(,"x_stator":{"mux":"1.2.3.4:5","versions":[1,-1,"x",{}]})")
        },
        Accepted{"x_stator_no_versions", record_with(tcp + R"(,"x_stator":{"mux":"1.2.3.4:5"})")}
    ),
    [](const auto& info) { return info.param.name; }
);

TEST_P(UnusualRecords, AreAccepted) {
    const auto instance = from_record(sample_key, GetParam().record);
    ASSERT_TRUE(instance) << instance.error().what();
    EXPECT_EQ(instance->id, InstanceId{6699});
    EXPECT_EQ(instance->codec(), PayloadCodec::json);
    EXPECT_FALSE(instance->mux);
}

TEST(Instance, KeepsTheMuxOfOtherVersions) {
    const auto later = from_record(
        sample_key,
        record_with(
            tcp + R"(,"x_stator":{"new":[{}],"mux":"h:5","versions":[7,9],"tls":"?","draining":1})"
        )
    );
    ASSERT_TRUE(later);
    ASSERT_TRUE(later->mux);
    EXPECT_FALSE(later->mux->speaks(1));
    EXPECT_TRUE(later->mux->speaks(8));
    EXPECT_FALSE(later->mux->tls);
    EXPECT_FALSE(later->draining());
}

TEST(Instance, AnIdThatDiffersFromTheKeysIsTheRecords) {
    const auto instance = from_record("v1/instances/ns/comp/ep/ff", record_with(tcp));
    ASSERT_TRUE(instance);
    EXPECT_EQ(instance->id, InstanceId{6699});
}

struct Refused {
    std::string name;
    std::string record;
    std::string detail;
    std::string key = sample_key;
};

class BadRecords : public testing::TestWithParam<Refused> {};

INSTANTIATE_TEST_SUITE_P(
    Refused,
    BadRecords,
    testing::Values(
        Refused{"empty", "", "json"},
        Refused{"cut", std::string{golden_record.substr(0, 100)}, "json"},
        Refused{"trailing", record_with(tcp) + "{}", "json"},
        Refused{"array", "[]", "json"},
        Refused{"brackets", std::string(200'000, '['), "json"},
        Refused{"nested_extra", record_with(tcp + ",\"x\":" + std::string(200'000, '[')), "json"},
        Refused{"not_utf8", record_with(tcp + ",\"x\":\"\xff\""), "json"},
        Refused{"huge_number", record_with(tcp + ",\"x\":1e400"), "json"},
        Refused{"no_type", R"({"component":"comp"})", "missing"},
        Refused{"no_transport", record_with(""), "missing"},
        Refused{"component_number", R"({"component":1})", "missing"},
        Refused{
            "model",
            R"({"type":"Model","component":"comp","endpoint":"ep","namespace":"ns",)"
            R"("instance_id":6699)" +
                tcp + "}",
            "type"
        },
        Refused{"id_negative", R"({"instance_id":-1})", "missing"},
        Refused{"id_text", R"({"instance_id":"1a2b"})", "missing"},
        Refused{"id_wide", R"({"instance_id":18446744073709551616})", "json"},
        Refused{
            "two_transports",
            record_with(R"(,"transport":{"tcp":"a:1/x","nats_tcp":"s"})"),
            "transport"
        },
        Refused{
            "extra_in_transport",
            record_with(R"(,"transport":{"tcp":"a:1/x","mux":"b"})"),
            "transport"
        },
        Refused{"unknown_transport", record_with(R"(,"transport":{"quic":"a:1"})"), "transport"},
        Refused{"empty_transport", record_with(R"(,"transport":{})"), "transport"},
        Refused{"transport_text", record_with(R"(,"transport":"tcp")"), "transport"},
        Refused{"address_number", record_with(R"(,"transport":{"tcp":1})"), "transport"},
        Refused{"device", record_with(tcp + R"(,"device_type":"tpu")"), "device_type"},
        Refused{"device_number", record_with(tcp + R"(,"device_type":1)"), "device_type"},
        Refused{"codec", record_with(tcp + R"(,"request_plane_codec":"cbor")"), "codec"},
        Refused{"raw_codec", record_with(tcp + R"(,"request_plane_codec":"raw")"), "codec"},
        Refused{"other_component", record_with(tcp), "key", "v1/instances/ns/other/ep/1a2b"},
        Refused{"bad_key", record_with(tcp), "key", "v1/instances/ns/comp/1a2b"},
        Refused{"bad_id_in_key", record_with(tcp), "key", "v1/instances/ns/comp/ep/XYZ"}
    ),
    [](const auto& info) { return info.param.name; }
);

TEST_P(BadRecords, AreRefusedByName) {
    const auto instance = from_record(GetParam().key, GetParam().record);
    ASSERT_FALSE(instance);
    EXPECT_EQ(instance.error().code(), ErrorCode::invalid_request);
    EXPECT_EQ(instance.error().detail(), "instance." + GetParam().detail)
        << instance.error().what();
}

TEST(Instance, SurvivesEveryCut) {
    for (std::size_t size = 0; size < golden_record.size(); ++size)
        EXPECT_FALSE(from_record(golden_key, golden_record.substr(0, size))) << size;
}

TEST(InstanceKey, SaysNamesAndId) {
    const auto key = parse_instance_key(golden_key);
    ASSERT_TRUE(key);
    EXPECT_EQ(key->endpoint, golden_instance().endpoint);
    EXPECT_EQ(key->id, golden_instance().id);
    for (const auto* bad : {
             "",
             "v1/instances",
             "v1/instances/",
             "v1/instances/a/b/c",
             "v1/instances/a/b/c/",
             "v1/instances/a/b/c/1/2",
             "v1/instances/a//c/1",
             "v1/instances/a/b/c/01",
             "v1/instances/a/b/c/1A",
             "v1/instances/a/b/c/11112222333344445",
             "v1/mdc/a/b/c/1",
             "v1/instancesX/a/b/c/1",
         })
        EXPECT_FALSE(parse_instance_key(bad)) << bad;
}

TEST(Transport, SplitsTcpAddresses) {
    const Transport plain{TransportKind::tcp, "127.0.0.1:4000/a/b"};
    EXPECT_EQ(plain.host_port(), "127.0.0.1:4000");
    EXPECT_EQ(plain.path(), "a/b");
    const Transport scheme{TransportKind::tcp, "tcp://[::1]:4000/a"};
    EXPECT_EQ(scheme.host_port(), "[::1]:4000");
    EXPECT_EQ(scheme.path(), "a");
    const Transport bare{TransportKind::tcp, "127.0.0.1:4000"};
    EXPECT_EQ(bare.host_port(), "127.0.0.1:4000");
    EXPECT_EQ(bare.path(), "");
    const Transport nats{TransportKind::nats_tcp, "a.b"};
    EXPECT_EQ(nats.host_port(), "");
}

std::string check_detail(const Instance& instance) {
    const auto checked = instance.check();
    return checked ? "ok" : checked.error().detail();
}

TEST(Instance, ChecksWhatIsPublished) {
    EXPECT_EQ(check_detail(sample()), "ok");
    EXPECT_EQ(check_detail(golden_instance()), "ok");
    auto instance = sample();
    instance.id = InstanceId{};
    EXPECT_EQ(check_detail(instance), "instance.id");
    instance = sample();
    instance.endpoint.component = "Upper";
    EXPECT_EQ(check_detail(instance), "name.invalid");
    instance = sample();
    instance.request_plane_codec = PayloadCodec::raw;
    EXPECT_EQ(check_detail(instance), "instance.codec");
    for (const auto* address :
         {"",
          "/x",
          "127.0.0.1/x",
          "127.0.0.1:0/x",
          "127.0.0.1:70000/x",
          "host:1/x",
          "::1:4000/x",
          "[::1:4000/x",
          "[1.2.3.4]:1/x",
          "127.0.0.1:4000",
          "127.0.0.1:4000/"}) {
        instance = sample();
        instance.transport.address = address;
        EXPECT_EQ(check_detail(instance), "instance.transport") << address;
    }
    instance.transport.address = "[::1]:4000/x";
    EXPECT_EQ(check_detail(instance), "ok");
    instance.transport = {TransportKind::nats_tcp, "ns_comp.ep-1a2b"};
    EXPECT_EQ(check_detail(instance), "ok");
    instance.transport.address = "two words";
    EXPECT_EQ(check_detail(instance), "instance.transport");
    instance = sample();
    for (const auto* address : {"", "host", "host:0", ":1", "::1:5", "a b:1", "host:1x"}) {
        instance.mux->address = address;
        EXPECT_EQ(check_detail(instance), "instance.mux") << address;
    }
    for (const auto* address : {"worker-1.example:5", "[::1]:5", "10.0.0.1:65535"}) {
        instance.mux->address = address;
        EXPECT_EQ(check_detail(instance), "ok") << address;
    }
    instance.mux->lowest_version = 2;
    EXPECT_EQ(check_detail(instance), "instance.mux");
}

TEST(Instance, ListsAsOneObject) {
    EXPECT_EQ(
        to_listing(sample()),
        R"({"namespace":"ns","component":"comp","endpoint":"ep","instance_id":"1a2b","state":"ready",)"
        R"("transports":{"tcp":"127.0.0.1:4000/1a2b/ns/comp/ep","mux":"127.0.0.1:4000"}})"
    );
    auto draining = sample();
    draining.mux->draining = true;
    EXPECT_NE(to_listing(draining).find(R"("state":"draining")"), std::string::npos);
    EXPECT_NE(
        to_listing(golden_instance()).find(R"("instance_id":"92e42ca7e33730ff")"), std::string::npos
    );
}

/// Sets a variable for the rest of the test.
class Variable {
public:
    Variable(const char* name, const char* value) : name_{name} {
        const char* old = std::getenv(name);
        if (old != nullptr) old_ = old;
        if (value == nullptr) {
            ::unsetenv(name);
        } else {
            ::setenv(name, value, 1);
        }
    }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;
    ~Variable() {
        if (old_) {
            ::setenv(name_, old_->c_str(), 1);
        } else {
            ::unsetenv(name_);
        }
    }

private:
    const char* name_;
    std::optional<std::string> old_;
};

DeviceType device_with(const char* cuda, const char* nvidia) {
    const Variable first{"CUDA_VISIBLE_DEVICES", cuda};
    const Variable second{"NVIDIA_VISIBLE_DEVICES", nvidia};
    return device_type_from_environment();
}

TEST(DeviceType, IsCudaUnlessHidden) {
    EXPECT_EQ(device_with(nullptr, nullptr), DeviceType::cuda);
    EXPECT_EQ(device_with("0,1", "all"), DeviceType::cuda);
    EXPECT_EQ(device_with(nullptr, ""), DeviceType::cuda);
    for (const auto* hidden : {"", "-1", "none", "void"})
        EXPECT_EQ(device_with(hidden, nullptr), DeviceType::cpu) << hidden;
    for (const auto* hidden : {"none", "void"})
        EXPECT_EQ(device_with("0", hidden), DeviceType::cpu) << hidden;
}

}  // namespace
}  // namespace stator::discovery
