# Everything comes from the distribution; newer versions work too.
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(Protobuf 3.21 REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(spdlog REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(hwy REQUIRED)
find_package(nlohmann_json REQUIRED)
