// Felzenszwalb-Huttenlocher on mesh edges as geometry_reference.md section 1 describes the peer's:
// the baseline for compute time and partition. Built by segmentator.py with g++ -O2.
//
//   segmentator MESH IDS K MIN_VERTICES REPEATS stable|unstable
//
// MESH: int32 V, int32 F, float32 V x 3, int32 F x 3. IDS: int32 V, written. Prints the median
// CPU seconds of the computation alone.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

struct Point {
    float x, y, z;
};

static Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
static float dot(Point a, Point b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static Point cross(Point a, Point b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
static Point unit(Point a) {
    const float length = std::sqrt(dot(a, a));
    return {a.x / length, a.y / length, a.z / length};
}
static Point blend(Point a, Point b, float share) {
    const float rest = 1.0f - share;
    return {share * b.x + rest * a.x, share * b.y + rest * a.y, share * b.z + rest * a.z};
}

struct Edge {
    int32_t a, b;
    float weight;
};

struct Forest {
    struct Node {
        int32_t rank, parent, size;
    };
    std::vector<Node> nodes;

    explicit Forest(int32_t n) : nodes(n) {
        for (int32_t i = 0; i < n; ++i) nodes[i] = {0, i, 1};
    }
    // Compresses only the start node (B.1).
    int32_t find(int32_t x) {
        int32_t root = x;
        while (nodes[root].parent != root) root = nodes[root].parent;
        nodes[x].parent = root;
        return root;
    }
    void join(int32_t a, int32_t b) {
        if (nodes[a].rank > nodes[b].rank) {
            nodes[b].parent = a;
            nodes[a].size += nodes[b].size;
        } else {
            nodes[a].parent = b;
            nodes[b].size += nodes[a].size;
            if (nodes[a].rank == nodes[b].rank) ++nodes[b].rank;
        }
    }
};

static std::vector<int32_t> segment(const std::vector<Point>& points,
                                    const std::vector<int32_t>& faces, float k,
                                    int32_t min_vertices, bool is_stable) {
    const size_t n_points = points.size(), n_faces = faces.size() / 3;
    std::vector<Point> normals(n_points, {0, 0, 0});
    std::vector<int32_t> counts(n_points, 0);
    std::vector<Edge> edges(3 * n_faces);
    for (size_t f = 0; f < n_faces; ++f) {
        const int32_t i = faces[3 * f], j = faces[3 * f + 1], l = faces[3 * f + 2];
        const Point normal = unit(cross(points[j] - points[i], points[l] - points[i]));
        for (const int32_t v : {i, j, l})
            normals[v] = blend(normals[v], normal, 1.0f / (counts[v] + 1.0f));
        ++counts[i], ++counts[j], ++counts[l];
        edges[3 * f] = {i, j, 0};
        edges[3 * f + 1] = {i, l, 0};
        edges[3 * f + 2] = {l, j, 0};
    }
    for (Edge& edge : edges) {
        const Point direction = unit(points[edge.b] - points[edge.a]);
        edge.weight = 1.0f - dot(normals[edge.a], normals[edge.b]);
        if (dot(normals[edge.b], direction) > 0) edge.weight *= edge.weight;
    }
    const auto lighter = [](const Edge& a, const Edge& b) { return a.weight < b.weight; };
    if (is_stable)
        std::stable_sort(edges.begin(), edges.end(), lighter);
    else
        std::sort(edges.begin(), edges.end(), lighter);

    Forest forest(n_points);
    std::vector<float> threshold(n_points, k);
    for (const Edge& edge : edges) {
        int32_t a = forest.find(edge.a);
        const int32_t b = forest.find(edge.b);
        if (a != b && edge.weight <= threshold[a] && edge.weight <= threshold[b]) {
            forest.join(a, b);
            a = forest.find(a);
            threshold[a] = edge.weight + k / forest.nodes[a].size;
        }
    }
    for (const Edge& edge : edges) {
        const int32_t a = forest.find(edge.a), b = forest.find(edge.b);
        if (a != b &&
            (forest.nodes[a].size < min_vertices || forest.nodes[b].size < min_vertices))
            forest.join(a, b);
    }
    std::vector<int32_t> ids(n_points);
    for (size_t v = 0; v < n_points; ++v) ids[v] = forest.find(v);
    return ids;
}

template <typename T>
static void read(FILE* file, std::vector<T>& values, size_t n) {
    values.resize(n);
    if (std::fread(values.data(), sizeof(T), n, file) != n) std::exit(2);
}

int main(int argc, char** argv) {
    if (argc != 7) return 2;
    FILE* file = std::fopen(argv[1], "rb");
    if (!file) return 2;
    std::vector<int32_t> sizes, faces;
    std::vector<Point> points;
    read(file, sizes, 2);
    read(file, points, sizes[0]);
    read(file, faces, 3 * size_t(sizes[1]));
    std::fclose(file);

    std::vector<double> seconds;
    std::vector<int32_t> ids;
    for (int i = 0; i < std::atoi(argv[5]); ++i) {
        const std::clock_t start = std::clock();
        ids = segment(points, faces, std::strtof(argv[3], nullptr), std::atoi(argv[4]),
                      std::string(argv[6]) == "stable");
        seconds.push_back(double(std::clock() - start) / CLOCKS_PER_SEC);
    }
    std::sort(seconds.begin(), seconds.end());
    file = std::fopen(argv[2], "wb");
    if (!file || std::fwrite(ids.data(), sizeof(int32_t), ids.size(), file) != ids.size()) return 2;
    std::fclose(file);
    std::printf("%.9f\n", seconds[seconds.size() / 2]);
}
