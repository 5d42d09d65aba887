// FAISS as it comes (Debian: libfaiss-dev): IndexHNSWFlat, or with -DSQ8
// IndexHNSWSQ with eight bits for each dimension. Its distance functions are
// compiled for the processor that the package is for, not for this one.
#include <faiss/IndexHNSW.h>
#include <faiss/index_io.h>
#include <omp.h>

#include "peer.h"

struct Faiss : Peer {
    Arguments a;
    std::unique_ptr<faiss::IndexHNSW> index;
    std::vector<float> distances;

    Faiss(const Arguments& a, size_t dim) : a(a) {
        const faiss::MetricType metric = a.metric == "dot" ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2;
#ifdef SQ8
        index.reset(new faiss::IndexHNSWSQ(dim, faiss::ScalarQuantizer::QT_8bit, a.m, metric));
#else
        index.reset(new faiss::IndexHNSWFlat(dim, a.m, metric));
#endif
        index->hnsw.efConstruction = a.efConstruction;
        omp_set_num_threads(a.threads);
    }

    void build(const Matrix& base) override {
        index->train(base.rows, base.data.data());
        index->add(base.rows, base.data.data());
        omp_set_num_threads(1);
    }

    void save(const std::string& file) override { faiss::write_index(index.get(), file.c_str()); }

    void load(const std::string& file) override {
        index.reset(dynamic_cast<faiss::IndexHNSW*>(faiss::read_index(file.c_str())));
        if (!index) fail(file + " has no such index");
        omp_set_num_threads(1);
    }

    void search(const float* query, int k, int ef, int64_t* ids) override {
        distances.resize(k);
        index->hnsw.efSearch = ef;
        index->search(1, query, k, distances.data(), ids);
    }
};

int main(int argc, char** argv) {
    return serve(argc, argv, [](const Arguments& a, size_t dim) { return new Faiss(a, dim); });
}
