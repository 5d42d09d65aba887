// hnswlib as it comes (Debian: libhnswlib-dev), compiled for this processor.
#include <hnswlib/hnswlib.h>

#include <atomic>
#include <thread>

#include "peer.h"

struct Hnswlib : Peer {
    Arguments a;
    std::unique_ptr<hnswlib::SpaceInterface<float>> space;
    std::unique_ptr<hnswlib::HierarchicalNSW<float>> index;

    Hnswlib(const Arguments& a, size_t dim) : a(a) {
        if (a.metric == "l2") {
            space.reset(new hnswlib::L2Space(dim));
        } else {
            space.reset(new hnswlib::InnerProductSpace(dim));
        }
    }

    void build(const Matrix& base) override {
        index.reset(new hnswlib::HierarchicalNSW<float>(space.get(), base.rows, a.m, a.efConstruction));
        index->addPoint(base.row(0), 0);
        std::atomic<size_t> next{1};
        std::vector<std::thread> threads;
        for (int t = 0; t < a.threads; t++) {
            threads.emplace_back([&] {
                for (size_t i; (i = next++) < base.rows;) index->addPoint(base.row(i), i);
            });
        }
        for (auto& t : threads) t.join();
    }

    void save(const std::string& file) override { index->saveIndex(file); }

    void load(const std::string& file) override {
        index.reset(new hnswlib::HierarchicalNSW<float>(space.get(), file));
    }

    void search(const float* query, int k, int ef, int64_t* ids) override {
        index->setEf(ef);
        auto found = index->searchKnn(query, k);
        for (int i = k; i-- > 0;) {
            if (size_t(i) >= found.size()) {
                ids[i] = -1;
                continue;
            }
            ids[i] = found.top().second;
            found.pop();
        }
    }
};

int main(int argc, char** argv) {
    return serve(argc, argv, [](const Arguments& a, size_t dim) { return new Hnswlib(a, dim); });
}
